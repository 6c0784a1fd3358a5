"""What a sentence says of a number: which measure it is, and whether it rose or fell. Numbers alone prove neither."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.diagnosis.facts import Fact
from orchestrator.summary.numbers import Number, digits, numbers

_MEASURES = {
    "accuracy": r"accurac\w+|accurate",
    "loss": r"loss(?:es)?",
    "perplexity": r"perplexit\w+",
    "norm": r"norms?",
    "cosine": r"cosines?",
    "agreement": r"agreements?",
    "fairness": r"fairness|index",
    "alpha": r"alpha",
    "error": r"errors?",
    "share": r"weights?|shares?",
}
_COUNTED = {
    "node": r"nodes?|clients?|phones?|devices?|participants?|members?|hospitals?|machines?|attackers?",
    "round": r"rounds?",
    "version": r"versions?",
    "update": r"updates?",
    "example": r"examples?|samples?",
    "seconds": r"seconds?|s\b|minutes?|hours?",
    "bytes": r"bytes",
    "class": r"class(?:es)?",
}
_OF_FACTS = _MEASURES | {
    "node": r"nodes?|attackers|others|clients",
    "round": r"rounds?|num_rounds|keep_rounds",
    "version": r"version",
    "update": r"updates?|submitted|selected|quorum|dropped_out",
    "example": r"num_examples",
    "seconds": r"seconds",
    "bytes": r"bytes(?:_up|_down)?",
    "class": r"class",
    "share": r"weight_share|attackers",
    "error": r"lora_error",
    "norm": r"norm",
    "alpha": r"alpha",
}
_BEFORE = re.compile(r"\b(version|round|class|v)\s*$")
_NO_ADJECTIVE = "of|in|at|to|and|or|from|by|between|with|after|over|since|within|on|for|as|than|until|before|per|is|was"
_AFTER = re.compile(
    r"\s*\)?\s*(?:of\s+(?:(?:the|its|all|our|them)\s+)*(?:\d+\s+)?)?"
    rf"(?:(?!(?:{_NO_ADJECTIVE})\b)[a-z-]+\s+)?"
    rf"(?:{'|'.join(f'(?P<{name}>{words})' for name, words in (_MEASURES | _COUNTED).items())})\b"
)
_WORD = re.compile("|".join(rf"(?P<{name}>\b(?:{words})\b)" for name, words in _MEASURES.items()))
_CLAUSE = re.compile(r",\s|;|:\s|\bwhile\b|\bwhereas\b|\bbut\b|\band\b|\(")
_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n")
_FROM_TO = re.compile(r"\bfrom\b.*?\bto\b")
_NOT = re.compile(r"\b(?:no|not|never|nor|neither|without|none|nobody|cannot)\b|n't\b")
_UP = re.compile(
    r"\b(?:rose|risen?|rises|rising|increas\w+|grew|grown?|grows|growing|climb\w*|went up|gain\w*|higher)\b"
)
_DOWN = re.compile(
    r"\b(?:fell|fallen?|falls|falling|decreas\w+|declin\w+|went down|sank|lower|shr[aiu]nk\w*|reduc\w+|degrad\w+"
    r"|drop(?:s|ped|ping)?(?![ -]?outs?\b))\b"
)
_BETTER = re.compile(r"\b(?:improv\w+|better)\b")
_WORSE = re.compile(r"\b(?:wors\w+|deteriorat\w+)\b")
_GOOD = {"accuracy": 1, "loss": -1, "perplexity": -1}


@dataclass(frozen=True)
class _Clause:
    """A part of a sentence with the one measure that it speaks of, its own or of the part before."""

    text: str
    measure: str


def check_statements(text: str, facts: Sequence[Fact]) -> None:
    """ValueError for a number that is put down to another measure than its fact's, or a way that scores did not go."""
    for sentence in _SENTENCE.split(digits(text)):
        measure = ""
        for clause in _CLAUSE.split(sentence):
            named = _WORD.search(clause)
            measure = (named.lastgroup or "") if named else measure
            part = _Clause(clause, measure)
            for number in numbers(clause):
                _check_measure(part, number, facts)
            _check_way(part, named is not None, facts)


def _check_measure(clause: _Clause, number: Number, facts: Iterable[Fact]) -> None:
    wanted = _measure_of(clause, number)
    fitting = [fact for fact in facts if number.fits(fact)]
    if not wanted and all(any(_is(fact, score) for score in _GOOD) for fact in fitting):
        raise ValueError(f"say beside {number.said!r} of what measure it is, in {clause.text.strip()[:100]!r}")
    if wanted and not any(_is(fact, wanted) for fact in fitting):
        told = ", ".join(dict.fromkeys(fact.metric for fact in fitting)) or "none"
        raise ValueError(
            f"{number.said!r} is no {wanted}: the facts of this value are {told}. In {clause.text[:100]!r}"
        )


def _measure_of(clause: _Clause, number: Number) -> str:
    """What a number is said to be: by the noun beside it, else by the measure of its clause."""
    if before := _BEFORE.search(clause.text[: number.at]):
        return "version" if before[1] == "v" else before[1]
    if re.search(r"[kMG]?B$|bytes$", number.said):
        return "bytes"
    if after := _AFTER.match(clause.text, number.end):
        return after.lastgroup or ""
    earlier = list(_WORD.finditer(clause.text[: number.at]))
    return (earlier[-1].lastgroup or "") if earlier else clause.measure


def _is(fact: Fact, measure: str) -> bool:
    words = re.split(r"[ .]|(?<=accuracy)_|_(?=accuracy|loss|agreement|fairness|perplexity)", fact.metric)
    return any(re.fullmatch(_OF_FACTS[measure], word) for word in words)


def _check_way(clause: _Clause, named: bool, facts: Sequence[Fact]) -> None:
    said = list(numbers(clause.text))
    values = [number for number in said if not _BEFORE.search(clause.text[: number.at])]
    if _FROM_TO.search(clause.text) and len(values) > 1:
        steps = list(_steps(values[0], values[1], facts))
        if not steps:
            raise ValueError(f"no score went so: {clause.text.strip()[:100]!r}")
        measures = {"accuracy" if "accuracy" in a.metric else "loss" for a, _ in steps}
        wanted = _way(clause.text, measures.pop())
        if wanted and not any((after.value - before.value) * wanted > 0 for before, after in steps):
            raise ValueError(f"it went the other way: {clause.text.strip()[:100]!r}")
        return
    measure = clause.measure if clause.measure in _GOOD else ""
    if not named and not (_BETTER.search(clause.text) or _WORSE.search(clause.text)):
        return
    wanted = _way(clause.text, measure or "accuracy")
    if not wanted or (not measure and _NOT.search(clause.text)):
        return
    went = list(_course(measure, values, facts))
    if not went:
        raise ValueError(f"no two facts say which way it went: {clause.text.strip()[:100]!r}")
    if not measure and "loss" in went[0][0].metric:
        wanted = -wanted
    ways = [(after.value - before.value) * wanted > 0 for before, after in went]
    if any(ways) == bool(_NOT.search(clause.text)):
        raise ValueError(f"it went the other way: {clause.text.strip()[:100]!r}")


def _way(text: str, measure: str) -> int:
    """1 for up, -1 for down, 0 where nothing of the kind is said."""
    good = _GOOD.get(measure, 1)
    for pattern, way in ((_UP, 1), (_DOWN, -1), (_BETTER, good), (_WORSE, -good)):
        if pattern.search(text):
            return way
    return 0


def _steps(one: Number, other: Number, facts: Sequence[Fact]) -> Iterator[tuple[Fact, Fact]]:
    """Two facts of a metric, the first of an earlier version, that the numbers are."""
    for before in facts:
        for after in facts:
            if before.metric == after.metric and one.fits(before) and other.fits(after):
                if _version(before) is None or _version(after) is None:
                    continue
                if (_version(before) or 0) < (_version(after) or 0):
                    yield before, after


def _course(measure: str, values: Sequence[Number], facts: Sequence[Fact]) -> Iterator[tuple[Fact, Fact]]:
    """The first and the last score of each metric; the last being the one that is said, where one is."""
    names = [measure] if measure else ["accuracy", "loss"]
    scores = [fact for fact in facts if _version(fact) is not None and any(_is(fact, name) for name in names)]
    for metric in dict.fromkeys(fact.metric for fact in scores if "class" not in fact.metric):
        line = sorted((fact for fact in scores if fact.metric == metric), key=lambda fact: _version(fact) or 0)
        ends = [fact for fact in line[1:] if any(number.fits(fact) for number in values)] or line[-1:]
        if len(line) > 1:
            yield line[0], ends[-1]
            if not measure:
                return


def _version(fact: Fact) -> int | None:
    found = re.fullmatch(r"version (\d+)", fact.where)
    return int(found[1]) if found else None
