"""Numbers in a text, and whether facts bear them out at the precision with which they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.diagnosis.facts import Fact
from orchestrator.planning.reading.numbers import in_digits

_UNITS = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}
_NUMBER = re.compile(
    r"(?P<sign>[-−])?(?P<digits>\d{1,3}(?:[,\u00a0\u202f ]\d{3})+(?!\d)|\d+)(?P<places>\.\d+)?(?P<power>[eE][-+]?\d+)?"
    r"(?:\s?(?P<unit>%|percent\b|kB\b|MB\b|GB\b|B\b|bytes\b))?"
)
_LEFT = {"half": "50%", "twice": "2", "double": "2", "doubled": "2", "thrice": "3", "triple": "3", "tripled": "3"}
_LEFT |= {"hundred": "100", "thousand": "1000", "million": "1000000", "dozen": "12"}
_IN_WORDS = re.compile(rf"\b(?:{'|'.join(_LEFT)})\b")
_KEPT = "\0"
_EXACT_BELOW = 100.0
"""A whole number that is smaller stands for a whole number: nobody reads 1 as 0.7."""


@dataclass(frozen=True)
class Number:
    """A number as it is written.

    Attributes:
        said: the text.
        value: in the unit of the facts: bytes, shares of one.
        slack: half a unit of the last place that is written, in the same unit.
        share: whether it is written as a percentage.
        at, end: where it stands in `digits(text)`.
    """

    said: str
    value: float
    slack: float
    share: bool = False
    at: int = 0
    end: int = 0

    def fits(self, fact: Fact) -> bool:
        """Whether the fact's value is written so."""
        if self.share and not 0 <= fact.value <= 1:
            return False
        whole = self.slack == 0.5 and not self.share
        if whole and abs(fact.value) < _EXACT_BELOW:
            return fact.value == self.value
        return abs(fact.value - self.value) <= self.slack * (1 + 1e-9)


def digits(text: str) -> str:
    """The text in lower case, with numbers in words as digits; what is in digits already stays as it is.

    "One" stays where it counts nothing.
    """
    written = [found[0] for found in _NUMBER.finditer(text)]
    bare = in_digits(_NUMBER.sub(_KEPT, text.replace(_KEPT, " ")).lower())
    bare = _IN_WORDS.sub(lambda found: _LEFT[found[0]], bare)
    parts = bare.split(_KEPT)
    return parts[0] + "".join(number + part for number, part in zip(written, parts[1:], strict=True))


def numbers(text: str) -> Iterator[Number]:
    """Every number in the text, in digits or in words."""
    text = digits(text)
    for found in _NUMBER.finditer(text):
        plain = re.sub(r"\D", "", found["digits"]) + (found["places"] or "") + (found["power"] or "")
        places = len(found["places"] or ".") - 1
        unit = found["unit"] or ""
        share = unit in ("%", "percent")
        factor = 0.01 if share else _UNITS.get(unit, 1.0)
        power = float(f"1{found['power']}") if found["power"] else 1.0
        value = float(plain) * (-1 if found["sign"] and _negative(text, found.start()) else 1)
        slack = 0.5 * 10**-places * factor * power
        yield Number(found[0], value * factor, slack, share, found.start(), found.end())


def unfounded(text: str, facts: Iterable[Fact]) -> list[str]:
    """The numbers in the text that no fact bears out, as they are written."""
    known = list(facts)
    return [number.said for number in numbers(text) if not any(number.fits(fact) for fact in known)]


def _negative(text: str, at: int) -> bool:
    """A hyphen within a word or a range is no sign."""
    return at == 0 or not (text[at - 1].isalnum() or text[at - 1] in ")]`")
