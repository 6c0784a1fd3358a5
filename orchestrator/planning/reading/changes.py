"""Wishes relative to what there is: double the rounds, a lower learning rate, fewer epochs."""

from __future__ import annotations

from orchestrator.planning.reading.numbers import NUMBER
from orchestrator.planning.reading.wishes import Stated, Wishes, quoted
from orchestrator.planning.reading.words import Words

_FIELDS = {
    "rounds": r"(?:communication |training )?rounds?",
    "training.epochs": r"(?:local )?epochs?",
    "training.learning_rate": r"(?:learning[- ]?rates?|lr|rate|step[- ]size)",
    "training.batch_size": r"(?:mini-?)?batch(?:es)?(?:[ -]?sizes?)?",
    "deadline_s": r"(?:deadlines?|time-?outs?)",
}
_UP = r"(?:more|higher|larger|bigger|longer|increase|raise|greater)"
_DOWN = r"(?:fewer|less|lower|smaller|shorter|decrease|reduce|lessen)"
_TO = r"\s*(?:to|=|:)\s*[.\d]"


def read_changes(words: Words, wishes: Wishes) -> None:
    """A factor for each field that is to change, or how many more; a plain more doubles, a plain less halves."""
    for path, name in _FIELDS.items():
        _read_amounts(words, wishes, path, name)
        for factor, pattern in (
            (2.0, rf"\b(?:doubl(?:e|ing)|twice)(?:\s+(?:the|as many|number of)){{0,2}}\s+{name}\b"),
            (3.0, rf"\b(?:tripl(?:e|ing)|thrice)(?:\s+(?:the|as many|number of)){{0,2}}\s+{name}\b"),
            (0.5, rf"\b(?:halv(?:e|ing)|half|50%)(?:\s+(?:the|of|as many|number of)){{0,3}}\s+{name}\b"),
            (2.0, rf"\b{_UP}(?:\s+(?:the|number of)){{0,2}}\s+{name}\b(?!{_TO})"),
            (0.5, rf"\b{_DOWN}(?:\s+(?:the|number of)){{0,2}}\s+{name}\b(?!{_TO})"),
        ):
            if found := words.find(pattern):
                wishes.changes.setdefault(path, Stated(factor, quoted(found)))
        words.says(rf"\b(?:{_UP}|{_DOWN})(?:\s+(?:the|number of)){{0,2}}(?=\s+{name}\b{_TO})")
        if found := words.find(rf"\b{NUMBER}\s*(?:x|times)(?: (?:the|as many|more)){{0,2}} {name}\b"):
            wishes.changes.setdefault(path, Stated(float(found[1]), quoted(found)))


def _read_amounts(words: Words, wishes: Wishes, path: str, name: str) -> None:
    """`10 more rounds` and `raise the rounds by 10` add; `by 10%` is a factor."""
    for sign, pattern in (
        (1, rf"\b{NUMBER}\s+(?:more|additional|extra|further)\s+{name}\b"),
        (1, rf"\b(?:another|add|append)\s+{NUMBER}\s+{name}\b"),
        (-1, rf"\b{NUMBER}\s+(?:fewer|less)\s+{name}\b"),
    ):
        if found := words.find(pattern):
            wishes.additions.setdefault(path, Stated(sign * float(found[1]), quoted(found)))
    for sign, which in ((1, _UP), (-1, _DOWN)):
        if found := words.find(rf"\b{which}(?:\s+(?:the|number of)){{0,2}}\s+{name}\s+by\s+{NUMBER}(%)?"):
            value = sign * float(found[1])
            if found[2]:
                wishes.changes.setdefault(path, Stated(max(0.0, 1 + value / 100), quoted(found)))
            else:
                wishes.additions.setdefault(path, Stated(value, quoted(found)))
