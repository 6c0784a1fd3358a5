"""JSON Schemas as the retired SDK takes them, and back: which of a tool's parameters it can say, and what it makes of
numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.llm.model import ToolSpec

_TYPES = {
    "object": "OBJECT",
    "array": "ARRAY",
    "string": "STRING",
    "integer": "INTEGER",
    "number": "NUMBER",
    "boolean": "BOOLEAN",
}
_AS_TEXT = "JSON object, as text"
_EXACT = 2**53
_DEEPEST = 12


def declared(tool: ToolSpec) -> dict[str, Any]:
    """A tool as a function declaration. One without parameters has none, for the API refuses empty objects."""
    described = {"name": tool.name, "description": tool.description}
    if not tool.parameters.get("properties"):
        return described
    return described | {"parameters": schema_of(tool.parameters)}


def schema_of(schema: Mapping[str, Any], whole: Mapping[str, Any] | None = None, depth: int = 0) -> dict[str, Any]:
    """What is left of a JSON Schema: types, descriptions, enumerations of texts, items, properties and which of them
    are required. Null among the alternatives becomes `nullable`; of others the first stands. An object of unknown
    properties, which the API refuses, becomes a text that holds JSON; `restored` reads it.

    Args:
        whole: where `$ref` leads; default: the schema itself.
    """
    whole = schema if whole is None else whole
    schema = _followed(schema, whole)
    kept: dict[str, Any] = {}
    options = [_followed(option, whole) for option in schema.get("anyOf") or schema.get("oneOf") or ()]
    if given := [option for option in options if option.get("type") != "null"]:
        kept = schema_of(given[0], whole, depth + 1)
        if len(given) < len(options):
            kept["nullable"] = True
        return kept | ({"description": schema["description"]} if "description" in schema else {})
    if "description" in schema:
        kept["description"] = schema["description"]
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if values and all(isinstance(value, str) for value in values):
        return kept | {"type_": "STRING", "format_": "enum", "enum": list(values)}
    kept["type_"] = _TYPES.get(str(schema.get("type", "object" if "properties" in schema else "string")), "STRING")
    if kept["type_"] == "ARRAY":
        kept["items"] = schema_of(schema.get("items") or {}, whole, depth + 1)
    elif kept["type_"] == "OBJECT":
        if not schema.get("properties") or depth > _DEEPEST:
            said = f"{kept['description']} ({_AS_TEXT})" if "description" in kept else _AS_TEXT
            return {"type_": "STRING", "description": said}
        kept["properties"] = {name: schema_of(each, whole, depth + 1) for name, each in schema["properties"].items()}
        kept["required"] = [name for name in schema.get("required", ()) if name in schema["properties"]]
    return kept


def restored(value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any] | None = None) -> Any:
    """Arguments as they were meant: the SDK has carried them as protobuf's Struct, which knows no integers, and objects
    of unknown properties were asked for as text.

    Args:
        schema: that they follow, as `schema_of` was given it.
    """
    whole = schema if whole is None else whole
    schema = _chosen(schema, whole)
    match value:
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return int(value)
        case str() if schema.get("type") == "object":
            try:
                return json.loads(value)
            except ValueError:
                return value  # the tool says what is wrong with it
        case Mapping():
            known = schema.get("properties") or {}
            return {str(key): restored(each, known.get(key) or {}, whole) for key, each in value.items()}
        case list():
            return [restored(each, schema.get("items") or {}, whole) for each in value]
    return value


def _chosen(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """The alternative that `schema_of` lets stand."""
    schema = _followed(schema, whole)
    for option in schema.get("anyOf") or schema.get("oneOf") or ():
        if _followed(option, whole).get("type") != "null":
            return _followed(option, whole)
    return schema


def _followed(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference within the same document means; its own description stands."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        target: Any = whole
        for name in reference.removeprefix("#/").split("/"):
            target = target.get(name, {}) if isinstance(target, Mapping) else {}
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return {}
