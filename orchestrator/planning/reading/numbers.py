"""Numbers as people write them, in digits: `two dozen`, `a third of`, `a million`, `10k`, `half an hour`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.planning.reading.separators import OF_A_WHOLE, plainly

_WHOLLY = r"(?<!\d)(?<!\d[.,/])({})(?![.,/]?\d|e-?\d)"  # never the end of 97,5 nor the beginning of 1/10
NUMBER = _WHOLLY.format(r"\d{1,9}(?:\.\d{1,9})?(?:e-?\d{1,2})?|\.\d{1,9}")
"""A number in digits, as a group."""
WHOLE = _WHOLLY.format(r"\d{1,9}")
"""A whole one."""

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {name: value for value, name in enumerate(_SMALL)} | {name: 10 * n for n, name in enumerate(_TENS, start=2)}
_FACTORS = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000}
_VAGUE = ("few", "several", "many", "some", "couple")
_SHARES = {"third": 100 / 3, "quarter": 25.0, "fifth": 20.0, "tenth": 10.0}
_COUNTED = (
    "local|epochs?|pass|rounds?|steps?|attackers?|nodes?|clients?|phones?|users?|speakers?|class|labels?|minutes?|hours?"
    "|days?|batch|browsers?|hospitals?|malicious|byzantine|laptops?|devices?|per ?cent|dozen|hundred|thousand|million"
    r"|(?:in|of) (?:every )?(?:two|three|four|five|six|eight|ten|\d)"
)


def in_digits(text: str) -> str:
    """The text, in lower case, with its numbers in digits. `one` stays where it counts nothing."""
    text = plainly(text)
    text = re.sub(r"\bhalf an hour\b", "30 minutes", text)
    text = re.sub(r"\ba quarter of an hour\b", "15 minutes", text)
    text = re.sub(r"\bhalf a dozen\b", "6", text)
    text = re.sub(r"\ban? couple(?: of)?\b", "2", text)
    text = re.sub(r"\ban? (?=dozen|hundred|thousand|million)", "1 ", text)
    text = re.sub(r"\ban? (?=hour|minute|day)", "1 ", text)
    text = re.sub(rf"\bone (?={_COUNTED})\b", "1 ", text)
    text = "".join(_counted(re.split(r"([^a-z0-9]+)", text)))
    text = re.sub(rf"\b(an?|one|[1-3])[ -](third|quarter|fifth|tenth)s?\b{OF_A_WHOLE}", _share, text)
    text = re.sub(rf"\bhalf\b(?:{OF_A_WHOLE}|(?= a round))", "50%", text)
    text = re.sub(r"\bhalf the\b", "50% of the", text)
    return re.sub(r"\s*(?:%|\bper ?cent\b)", "%", text)


def _share(found: re.Match[str]) -> str:
    return f"{_SHARES[found[2]] * (int(found[1]) if found[1].isdigit() else 1):.4g}%"


def _counted(parts: list[str]) -> Iterator[str]:
    """Words and what stands between them, runs of number words replaced by their value."""
    at = 0
    while at < len(parts):
        taken, value = _run(parts, at)
        if taken:
            yield str(value)
            at += taken
        else:
            yield parts[at]
            at += 1


def _run(parts: list[str], at: int) -> tuple[int, int]:
    """How many parts from `at` on make one number, and which: `two hundred and fifty` are seven."""
    word = parts[at]
    if word == "one":  # what it counts has been put in digits before
        return 0, 0
    if word in _VALUES:
        value = _VALUES[word]
    elif word.isascii() and word.isdigit() and len(word) < 7 and parts[at + 1 : at + 2] == [" "]:
        value = int(word)
        if at + 2 >= len(parts) or parts[at + 2] not in _FACTORS or parts[max(0, at - 1)] in (".", ",", "/"):
            return 0, 0
    elif word in _FACTORS and not (at > 1 and parts[at - 2] in _VAGUE):
        value = _FACTORS[word]
    else:
        return 0, 0
    taken = 1
    while (step := _next(parts, at + taken, value)) is not None:
        more, value = step
        taken += more
    return taken, value


def _next(parts: list[str], at: int, value: int) -> tuple[int, int] | None:
    """What the parts from `at` on add to the value; None when the number ends before them."""
    if at + 1 >= len(parts) or parts[at] not in (" ", "-"):
        return None
    word = parts[at + 1]
    if word in _FACTORS:
        counted = value % 1000 if value >= max(1000, _FACTORS[word]) else value  # two thousand five hundred
        return (2, value - counted + counted * _FACTORS[word]) if 0 < counted < 1_000_000 else None
    if word == "and" and value >= 100 and parts[at + 2 : at + 3] == [" "] and parts[at + 3] in _VALUES:
        return 4, value + _VALUES[parts[at + 3]]
    if word in _VALUES and _VALUES[word] < 10 and value % 100 >= 20 and value % 10 == 0:
        return 2, value + _VALUES[word]
    if word in _VALUES and value >= 100 and value % 100 == 0:
        return 2, value + _VALUES[word]
    return None
