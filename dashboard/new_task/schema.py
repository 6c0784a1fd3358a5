"""What `potluck://schema/task` says of one field: its choices, its bounds, its default, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    text = str(node.get("description", inner.get("description", "")))
    bounds = _bounds(inner)
    info = f"{text} {bounds}".strip() if bounds and text else text or bounds
    return Described(tuple(map(str, inner.get("enum", ()))), node.get("default"), optional, info)


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
    low = f"{least:,}" if least is not None else f"above {above:,}" if above is not None else ""
    high = f"{most:,}" if most is not None else f"below {below:,}" if below is not None else ""
    top = below if most is None else most
    if top is None or top >= 1e9:
        return f"At least {low}." if least is not None else f"{low.capitalize()}." if low else ""
    return f"{low} to {high}.".capitalize() if low else f"At most {high}."
