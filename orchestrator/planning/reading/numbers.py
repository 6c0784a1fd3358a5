"""Numbers as people write them, in digits: `two dozen`, `a third of`, `1,000`, `10k`, `half an hour`."""

from __future__ import annotations

import re
from collections.abc import Iterator

NUMBER = r"(\d{1,9}(?:\.\d{1,9})?(?:e-?\d{1,2})?|\.\d{1,9})"
"""A number in digits, as a group."""
WHOLE = r"(\d{1,9})"
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
_FACTORS = {"dozen": 12, "hundred": 100, "thousand": 1000}
_SHARES = {"half": 50.0, "third": 100 / 3, "quarter": 25.0, "fifth": 20.0, "tenth": 10.0}
_COUNTED = (
    "local|epochs?|pass|rounds?|steps?|attackers?|nodes?|clients?|phones?|users?|speakers?|class|labels?|minutes?|hours?"
    "|days?|batch|browsers?|hospitals?|malicious|byzantine"
)


def in_digits(text: str) -> str:
    """The text, in lower case, with its numbers in digits. `one` stays where it counts nothing."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"\b(\d{1,6}(?:\.\d{1,3})?)k\b", lambda found: f"{float(found[1]) * 1000:.0f}", text)
    text = re.sub(r"\bhalf an hour\b", "30 minutes", text)
    text = re.sub(r"\ba quarter of an hour\b", "15 minutes", text)
    text = re.sub(r"\bhalf a dozen\b", "6", text)
    text = re.sub(r"\ban? couple(?: of)?\b", "2", text)
    text = re.sub(r"\ban? (?=dozen|hundred|thousand)", "1 ", text)
    text = re.sub(r"\ban? (?=hour|minute|day)", "1 ", text)
    text = re.sub(rf"\bone (?={_COUNTED})\b", "1 ", text)
    text = "".join(_counted(re.split(r"([^a-z0-9]+)", text)))
    text = re.sub(r"\b(?:an?|one|1)[ -](third|quarter|fifth|tenth)\b(?= of| each| per)", _share, text)
    text = re.sub(r"\b(2)[ -](thirds)\b", "66.7%", text)
    text = re.sub(r"\bhalf(?= of| the| each| per| a round)", "50%", text)
    text = re.sub(r"\b1/(\d{1,2})(?= of)", lambda found: f"{100 / max(1, int(found[1])):.4g}%", text)
    return re.sub(r"\s*(?:%|\bper ?cent\b)", "%", text)


def _share(found: re.Match[str]) -> str:
    return f"{_SHARES[found[1]]:.4g}%"


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
        if at + 2 >= len(parts) or parts[at + 2] not in _FACTORS:
            return 0, 0
    elif word in _FACTORS and at + 1 < len(parts):
        return 0, 0
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
    if word in _FACTORS and value < _FACTORS[word] * 1000:
        counted = value % 1000 if value >= 1000 else value  # two thousand five hundred
        return 2, value - counted + counted * _FACTORS[word]
    if word == "and" and value >= 100 and parts[at + 2 : at + 3] == [" "] and parts[at + 3] in _VALUES:
        return 4, value + _VALUES[parts[at + 3]]
    if word in _VALUES and _VALUES[word] < 10 and value % 100 >= 20 and value % 10 == 0:
        return 2, value + _VALUES[word]
    if word in _VALUES and value >= 100 and value % 100 == 0:
        return 2, value + _VALUES[word]
    return None
