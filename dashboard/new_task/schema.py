"""What `potluck://schema/task` says of one field: its choices, its bounds, its default, in words for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FOR_CALLERS = re.compile(r"\s*\(see [a-z_]+\)")
"""A word on a tool, which a form has no use for."""


@dataclass(frozen=True)
class Described:
    """One field of the schema.

    Attributes:
        choices: what it may be, where these are few; else empty.
        default: taken when the field is left out; None also where it has to be given.
        optional: whether it may be null.
        info: description and bounds.
    """

    choices: tuple[str, ...]
    default: Any
    optional: bool
    info: str


def described(schema: Mapping[str, Any], path: str) -> Described:
    """The field at a dotted path.

    Raises:
        KeyError: the schema has no such field.
    """
    node: Mapping[str, Any] = schema
    outer: Mapping[str, Any] = schema
    for name in path.split("."):
        outer = _resolved(schema, node)["properties"][name]
        node = outer
    return described_by(outer, schema)


def described_by(node: Mapping[str, Any], schema: Mapping[str, Any] | None = None) -> Described:
    """As the schema of one value describes it, e.g. of a rule's option."""
    inner = _resolved(schema or {}, node)
    optional = any(option.get("type") == "null" for option in node.get("anyOf", ()))
    text = _FOR_CALLERS.sub("", str(node.get("description", inner.get("description", ""))))
    bounds = _bounds(inner)
    info = f"{text} {bounds}".strip() if bounds and text else text or bounds
    return Described(tuple(map(str, inner.get("enum", ()))), node.get("default"), optional, info)


def named_by(node: Mapping[str, Any], name: str) -> str:
    """An option's name for people: how its description begins, for one name means other things in other rules."""
    words = re.split(r"[.;:]", str(node.get("description", "")), maxsplit=1)[0].strip()
    return f"{words} ({name})" if words else name


def _resolved(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node itself, past references and the option of null."""
    while True:
        if "$ref" in node:
            node = schema["$defs"][str(node["$ref"]).rpartition("/")[2]]
            continue
        given = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
        if not given:
            return node
        node = given[0]


def _bounds(node: Mapping[str, Any]) -> str:
    if node.get("type") not in ("integer", "number"):
        return ""
    least, above = node.get("minimum"), node.get("exclusiveMinimum")
    most, below = node.get("maximum"), node.get("exclusiveMaximum")
    low = (
        f"at least {_plain(least)}" if least is not None else f"more than {_plain(above)}" if above is not None else ""
    )
    high = f"at most {_plain(most)}" if most is not None else f"less than {_plain(below)}" if below is not None else ""
    top = below if most is None else most
    if top is None or top >= 1e9:
        high = ""
    if least is not None and most is not None and high:
        return f"{_plain(least)} to {_plain(most)}."
    words = ", ".join(each for each in (low, high) if each)
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _plain(bound: float) -> str:
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:,}"
