"""Rates that change on the way: no task has them, so their numbers must not be read as anything else."""

from __future__ import annotations

from orchestrator.planning.reading.numbers import NUMBER
from orchestrator.planning.reading.out_of_reach import SCHEDULES, not_offered
from orchestrator.planning.reading.wishes import Wishes, number
from orchestrator.planning.reading.words import Words

_RATE = r"(?:learning[- ]?rates?|lr|step[- ]?size|eta)"
_FALLS = (
    r"(?:decay|anneal|drop|reduc|lower|decreas|halv|divid|multipl|fall|shrink|ramp|rais|increas|doubl)\w*"
    r"(?: (?:up|down))?"
)
_PLAIN = r"\d{1,9}(?:\.\d{1,9})?%?"
_AMOUNT = rf"(?:\s+(?:down )?(?:to|by|from)\s+(?:a factor of )?{_PLAIN}(?:\s+to\s+{_PLAIN})?)"
_WHEN = (
    r"(?:\s*\b(?:after|every|at|each|over|per)\s+(?:the\s+)?(?:(?:first|last|next)\s+)?"
    r"(?:(?:rounds?|epochs?)\s+\d{1,9}|(?:\d{1,9}\s+)?(?:rounds?|epochs?|steps?))\b)"
)
_THEN = (
    r"(?:\s+(?:for|until|in|during)\s+(?:the\s+)?(?:first\s+)?(?:rounds?\s+)?\d{1,9}(?:\s+(?:rounds?|epochs?))?)?"
    rf"\s*,?\s*(?:and\s+)?(?:then|afterwards|thereafter|after that)\s+(?:to\s+)?{_PLAIN}"
)


def read_schedules(words: Words, wishes: Wishes) -> None:
    """Notes a schedule; the rate that it begins with is the rate."""
    said = []
    linked = r"\s*,?\s*(?:(?:which|that|and|then|is|gets|to be)\s+){0,2}"
    begins = rf"\b(?:{_RATE}\s*(?:of|=|:|is|from)?\s*{NUMBER}(?:{linked}{_FALLS}(?:{_AMOUNT}|{_WHEN}){{1,2}}|{_THEN}))"
    for found in words.all(begins):
        rate = found[0][: found.end(1) - found.start()]
        wishes.state("training.learning_rate", number(found[1]), found)
        said.append(found[0][len(rate) :].strip(" ,"))
    for pattern in (
        rf"\b{_RATE}{linked}{_FALLS}(?:{_AMOUNT}{_WHEN}|{_WHEN}{_AMOUNT}?)",
        rf"\b{_FALLS}\s+(?:the\s+|its\s+)?{_RATE}(?:{_AMOUNT}?{_WHEN})",
        rf"{_WHEN}\s*,?\s*{_FALLS}\s+(?:the\s+|its\s+)?{_RATE}{_AMOUNT}?",
        rf"(?<!weight )(?<!weight-)\b(?:decay|anneal)\w*(?:\s+it)?(?:{_AMOUNT}{_WHEN}?|{_WHEN}{_AMOUNT}?)",
    ):
        said += [found[0].strip(" ,") for found in words.all(pattern)]
    if said:
        wishes.notes.append(not_offered(said, SCHEDULES))
