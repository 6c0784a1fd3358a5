"""`key=value` on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable

from federation.errors import ErrorCode, Refused

Value = int | float | bool | str


def pairs(flag: str, given: Iterable[str]) -> dict[str, Value]:
    """Options by name; a value that is a JSON number or truth value is that, anything else is text."""
    found: dict[str, Value] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not name or not equals:
            problem = f"{flag} {each} is no key=value."
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, f"write it as {flag} {name or 'key'}=1")
        if name in found:
            raise Refused(ErrorCode.INVALID_ARGUMENT, f"{flag} {name} is given twice.", "give it once")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name] = value if isinstance(value, int | float) else text
    return found
