"""A wish in plain words, read piece by piece: what has been understood is marked, and what is left can be named."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from orchestrator.planning.reading.fillers import FILLERS
from orchestrator.planning.reading.numbers import in_digits
from orchestrator.planning.reading.separators import readings

LONGEST = 2000
"""Characters that are read."""

_SIGNS = {
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "×": "x", "≥": ">=",
    "≤": "<=", "α": "alpha", "β": "beta", "μ": "mu", "µ": "mu", "η": "eta", "ε": "epsilon", "\u00a0": " ",
}  # fmt: skip
_REPOSITORY = re.compile(r"\bhf:([A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95}){0,3})")
_BARE = re.compile(
    r"\b((?:model|base|fine-?tune|tune|train|data|data ?set|on|use|using|with)\s+)"
    r"((?=[\w./-]{0,60}[A-Z0-9])(?!\d)[A-Za-z0-9][\w.-]{1,95}/(?!\d{1,5}\b)[A-Za-z0-9][\w.-]{1,95})(?![\w/])"
)
_NOT = (
    r"(?:\b(?:not|no|without|never|neither|nor|avoid|avoiding|skip|drop|disable|omit|forget|remove|except|excluding"
    r"|instead of|rather than|ignore|cannot|can'?t|(?:do|does|is|are|wo|should|need)n'?t)\b)"
)
_BETWEEN = (
    r"(?:\s+(?:need|needs|needed|want|wants|care|use|using|used|be|being|to|have|having|has|any|an?|the|of|about|for|apply"
    r"|add|too|very|so|much|it|is|are|as|kind|sort|more|make|made|really|that|this|them|explicit|special|particularly"
    r"|do|does|all|only|on|in|at|with)){0,5}"
)
_DENIED_BEFORE = re.compile(rf"{_NOT}{_BETWEEN}\s*[\"'(]?$")
_DENIED_TOO = re.compile(
    rf"{_NOT}(?:\s+(?!but\b|with\b|and\b)[\w-]{{1,30}}){{1,4}}\s+(?:or|nor)(?:\s+(?:any|an?|the))?\s*$"
)
_DENIED_AFTER = re.compile(
    r"^\s*(?:(?:is|are|=|:)\s*)?(?:(?:not|n't)\s+(?:needed|necessary|required|important|wanted|used)|unnecessary|off\b"
    r"|none\b|disabled)"
)
_LOOK_BACK, _LOOK_AHEAD = 80, 30
_TASK = r"(?:task|run|plan|job|experiment|federation|training)"
_NAMED = re.compile(
    rf"((?:\b{_TASK}|[,;.(]|^)\s*)?\b(?:name|call|title)d?(?:ed)?(\s+(?:it|this|(?:the |this )?{_TASK}))?"
    r"(?:\s+as\b|\s*[:=])?"
    r"\s*([\"'“‘«„])([^\"'”’»“‘\n]{1,80})[\"'”’»“‘]",
    re.IGNORECASE,
)
_NOT_BUT = re.compile(
    r"\b((?:not|do ?n'?t) (?:(?:on|with|for|in|use) )?)(\d{1,9}) ([a-z]{2,20})(?: but|,? (?=use|rather))"
    r" ?((?:(?:on|with|for|in|only|rather|use) ){0,2})"
    r"(\d{1,9})(?=\s*(?:$|[,.;!?](?!\d)))"
)
_WORD = re.compile(r"\d{1,12}(?:[.,/]\d{1,12})+[^\s,;:.!?()\"]*|[^\s,;:.!?()\"]+(?:\.\d+)?|[,;:.!?()\"]")


class Words:
    """What someone asks for, in lower case, with numbers in digits.

    Attributes:
        text: what is read.
        repositories: names after `hf:`, or owner/name, as they were written; in `text` hfref0, hfref1 … stand for them.
        name: of the task, given in quotes and taken out of `text`.
        asides: names of other things, taken out likewise.
        cut: whether there was more than is read.
    """

    def __init__(self, wish: str) -> None:
        self.cut = len(wish) > LONGEST
        wish = unicodedata.normalize("NFKC", wish[:LONGEST])[: 2 * LONGEST]
        self.repositories: list[str] = []
        self.name: str | None = None
        self.asides: list[str] = []
        wish = _NAMED.sub(self._name_taken, wish)
        wish = _REPOSITORY.sub(lambda found: self._kept(found[1]), wish)
        wish = _BARE.sub(lambda found: found[1] + self._kept(found[2]), wish)
        plain = "".join(_SIGNS.get(letter, letter) for letter in wish.lower())
        self.text = _NOT_BUT.sub(r"\1\2 \3 but \4\5 \3", in_digits(re.sub(r"\s+", " ", plain))).strip()
        self._taken = bytearray(len(self.text))

    def find(self, pattern: str, *, again: bool = False) -> re.Match[str] | None:
        """The first place where the pattern is said and not denied, now marked as understood.

        Args:
            pattern: of plain words, with bounded repetitions only.
            again: look at what was understood before, too.
        """
        return next(self._said(pattern, again=again), None)

    def says(self, pattern: str, *, again: bool = False) -> bool:
        """Whether it is said anywhere, and not denied. All such places are marked."""
        return bool(list(self._said(pattern, again=again)))

    def all(self, pattern: str) -> list[re.Match[str]]:
        """Every place where it is said and not denied, now marked."""
        return list(self._said(pattern))

    def denies(self, pattern: str) -> bool:
        """Whether it is said not to be wanted. Such places are marked."""
        denied = [found for found in re.finditer(pattern, self.text) if self._is_denied(found)]
        for found in denied:
            self._mark(found)
        return bool(denied)

    def left(self) -> list[str]:
        """What has not been understood, in pieces, without the words that carry no wish."""
        pieces: list[list[str]] = [[]]
        for found in _WORD.finditer(self.text):
            word = found[0].strip("'-")
            if any(self._taken[found.start() : found.end()]) or not re.search(r"\w", word):
                pieces.append([])
            else:
                pieces[-1].append(word)
        trimmed = (_without_fillers(piece) for piece in pieces)
        return [" ".join(piece)[:120] for piece in trimmed if piece]

    def unread(self) -> list[tuple[str, frozenset[float]]]:
        """Clauses with numbers that were not understood, and every value that these may have."""
        found = []
        for clause in re.finditer(r"(?:[^,;.!?]|(?<=\d)[.,](?=\d))+", self.text):
            values = [
                readings(word[0].strip("'-"))
                for word in _WORD.finditer(self.text, clause.start(), clause.end())
                if not any(self._taken[word.start() : word.end()])
            ]
            if whole := frozenset[float]().union(*values):
                found.append((clause[0], whole))
        return found

    def _name_taken(self, found: re.Match[str]) -> str:
        name = "".join(letter for letter in found[4] if letter.isprintable()).strip()
        if self.name is None and (found[1] is not None or found[2]):
            self.name = name
        else:
            self.asides.append(name)
        return ", "

    def _kept(self, name: str) -> str:
        self.repositories.append(name.rstrip(".-"))
        return f"hfref{len(self.repositories) - 1}" + ("." if name.endswith(".") else "")

    def _said(self, pattern: str, *, again: bool = False) -> Iterator[re.Match[str]]:
        for found in re.finditer(pattern, self.text):
            if not found[0] or (not again and any(self._taken[found.start() : found.end()])):
                continue
            if self._is_denied(found):
                self._mark(found)
                continue
            self._mark(found)
            yield found

    def _is_denied(self, found: re.Match[str]) -> bool:
        before = self.text[max(0, found.start() - _LOOK_BACK) : found.start()]
        after = self.text[found.end() : found.end() + _LOOK_AHEAD]
        return bool(_DENIED_BEFORE.search(before) or _DENIED_TOO.search(before) or _DENIED_AFTER.search(after))

    def _mark(self, found: re.Match[str]) -> None:
        for place in range(found.start(), found.end()):
            self._taken[place] = 1


def _without_fillers(piece: list[str]) -> list[str]:
    """The piece without fillers at its ends; nothing when there is nothing else."""
    while piece and piece[0] in FILLERS:
        piece = piece[1:]
    while piece and piece[-1] in FILLERS:
        piece = piece[:-1]
    return piece
