"""JSON Schemas without what costs a language model tokens and tells it nothing.

What is left out is still enforced: the server checks arguments against the full types, and docs/protocol.md lists
every bound.
"""

from __future__ import annotations

from typing import Any

_GUARD = 1_000_000
"""An upper bound from here on only guards the machine: no honest caller comes near it."""


def compact_input(schema: dict[str, Any]) -> dict[str, Any]:
    """An input schema: no generated titles, no far-off bounds, and an optional argument is simply not required."""
    compacted: dict[str, Any] = _strip(schema)
    for name, argument in compacted.get("properties", {}).items():
        options = argument.get("anyOf", [])
        given = [option for option in options if option != {"type": "null"}]
        if len(options) == 2 and len(given) == 1:
            described = {key: value for key, value in argument.items() if key not in ("anyOf", "default")}
            compacted["properties"][name] = given[0] | described
    return compacted


def compact_output(schema: dict[str, Any]) -> dict[str, Any]:
    """An output schema: the fields and their types. All that the server answers fits it, and clients check that.

    Without `required`: a refusal is a structured result too, and the TypeScript SDK checks it against this schema.
    """
    compacted: dict[str, Any] = _strip(schema)
    return {key: value for key, value in compacted.items() if key not in ("required", "description")}


def _strip(node: Any, *, names: bool = False) -> Any:
    """Drops keywords that say nothing; under `properties` and `$defs` the keys are names and stay."""
    if isinstance(node, list):
        return [_strip(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _strip(value, names=key in ("properties", "$defs") and not names)
        for key, value in node.items()
        if names or not (_says_nothing(key, value) or (key == "type" and "enum" in node))
    }


def _says_nothing(key: str, value: Any) -> bool:
    match key:
        case "title":
            return True
        case "additionalProperties":
            return value is True
        case "minimum" | "maximum":
            return bool(abs(value) >= _GUARD)
        case "pattern" | "patternProperties" | "minLength" | "maxLength":
            return True  # ids are the server's own, and no honest text is that long
    return False
