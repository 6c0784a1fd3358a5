"""JSON Schemas without what costs a language model tokens and tells it nothing."""

from __future__ import annotations

from typing import Any


def compact_input(schema: dict[str, Any]) -> dict[str, Any]:
    """An input schema: no generated titles, and an optional argument is simply not required."""
    compacted: dict[str, Any] = _strip(schema)
    for name, argument in compacted.get("properties", {}).items():
        options = argument.get("anyOf", [])
        given = [option for option in options if option != {"type": "null"}]
        if len(options) == 2 and len(given) == 1:
            described = {key: value for key, value in argument.items() if key not in ("anyOf", "default")}
            compacted["properties"][name] = given[0] | described
    return compacted | {"additionalProperties": False}


def compact_output(schema: dict[str, Any]) -> dict[str, Any]:
    """An output schema: no generated titles. What it allows is unchanged, for clients check results against it."""
    compacted: dict[str, Any] = _strip(schema)
    return compacted


def _strip(node: Any, *, names: bool = False) -> Any:
    """Drops `title` keywords; under `properties` and `$defs` the keys are names and stay."""
    if isinstance(node, list):
        return [_strip(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _strip(value, names=key in ("properties", "$defs") and not names)
        for key, value in node.items()
        if names or key != "title"
    }
