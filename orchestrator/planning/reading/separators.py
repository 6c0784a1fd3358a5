"""Numbers with separators: a decimal comma, marks between thousands, fractions, exponents. What may mean two things is
left as it was written, and no pattern of a number begins or ends inside it."""

from __future__ import annotations

import re
from fractions import Fraction

OF_A_WHOLE = (
    r"(?=\s+(?:of|each|per|are|is|may|might|can|could|will|being|malicious|byzantine|attack|adversar|compromised|faulty"
    r"|hostile|poison|evil|dishonest|corrupt|bad|hacked|rogue)\w*)"
)
"""What follows on a share."""
_WRITTEN = re.compile(r"(?<![\w.,/])\d{1,12}(?:[.,/]\d{1,12}){1,6}(?!\d|[.,/]\d)")
_REAL = re.compile(
    r"\b(?:rate|lr|eta|alpha|beta|mu|momentum|decay|accuracy|fraction|participation|shares?|dropout|holdout|c|norm"
    r"|step[- ]size)\s*(?:of|=|:|to|at|is|from)?\s*(?:about |at least )?$"
)
_COUNTED = re.compile(
    r"\s+(?:(?!(?:on|in|at|with|for|and|or|to|by|per|of|is)\b)[a-z-]{1,20}\s+){0,2}"
    r"(?:nodes?|clients?|phones?|users?|devices?|participants?|browsers?|tabs|hospitals?|sensors?|machines?|laptops?"
    r"|workers?|people|speakers?|rounds?|steps?|epochs?|iterations|examples|tokens|features|attackers?|cars|parties)\b"
)
_SCALES = {"k": 1000, "thousand": 1000, "million": 1_000_000}
_PARTED = re.compile(r"\s*(?:%|per ?cent\b|k\b|thousand\b|million\b)")


def plainly(text: str) -> str:
    """The text with each number whose separators mean one thing alone as digits with a decimal point."""
    text = _WRITTEN.sub(_plain, text)
    text = re.sub(r"(?<![\w.,/])(\d{1,3}(?:\.\d{1,3})?)e\+?(\d)(?!\w|[.,/]\d)", _exponent, text)
    scaled = r"(?<![\w.,/])(\d{1,6}(?:\.\d{1,6})?(?=k)|\d{1,6}\.\d{1,6}(?= ))(k\b| thousand\b| million\b)"
    return re.sub(scaled, lambda found: f"{float(found[1]) * _SCALES[found[2].strip()]:.0f}", text)


def readings(written: str) -> frozenset[float]:
    """Every value that someone who wrote this may have meant: of `2.500` 2.5 and 2500."""
    bare, share = written.rstrip("%"), written.endswith("%")
    ways = {bare, bare.replace(",", "."), bare.replace(",", ""), bare.replace(".", "").replace(",", ".")}
    values = {float(Fraction(way)) for way in ways if re.fullmatch(r"\d{1,12}(?:\.\d{1,12}|/0{0,3}[1-9]\d{0,8})?", way)}
    return frozenset(value / 100 for value in values) | values if share else frozenset(values)


def _plain(found: re.Match[str]) -> str:
    written, before, after = found[0], found.string[: found.start()][-60:], found.string[found.end() :][:60]
    parted = re.fullmatch(r"\d{1,3},\d{1,2}", written) and (_PARTED.match(after) or _REAL.search(before))
    if parted or re.fullmatch(r"0,\d+", written):
        return written.replace(",", ".")
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", written):
        return written.replace(",", "")
    counted = re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", written) and _COUNTED.match(after)
    if counted or re.fullmatch(r"[1-9]\d{0,2}(?:(?:\.\d{3})+,\d+|(?:\.\d{3}){2,})", written):
        return written.replace(".", "").replace(",", ".")
    return _fraction(written, before, after)


def _fraction(written: str, before: str, after: str) -> str:
    """A part of one as a decimal where a rate is named, and as a share where it is one of something."""
    parts = re.fullmatch(r"(\d{1,3})/([1-9]\d{0,3})", written)
    if parts is None or int(parts[1]) > int(parts[2]):
        return written
    value = int(parts[1]) / int(parts[2])
    if _REAL.search(before):
        return f"{value:.6g}"
    return f"{100 * value:.4g}%" if re.match(OF_A_WHOLE, after) else written


def _exponent(found: re.Match[str]) -> str:
    value = float(found[0])
    return f"{value:.0f}" if value.is_integer() else found[0]
