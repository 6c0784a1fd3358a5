"""What the retired SDK can say of a tool's parameters, and how their values come back."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.llm.legacy_schema import declared, restored, schema_of
from orchestrator.llm.model import ToolSpec
from tools.catalogue import TOOLS
from tools.contract import RoleTool

KEYWORDS = {"type_", "format_", "description", "nullable", "enum", "items", "properties", "required"}
"""Of the SDK's Schema, those that are made use of."""


def unknown(schema: dict[str, Any]) -> set[str]:
    """Keywords that the SDK would refuse, anywhere in a schema."""
    found = set(schema) - KEYWORDS
    for inner in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        found |= unknown(inner)
    return found


@pytest.mark.parametrize("entry", TOOLS, ids=lambda entry: entry.name)
def test_every_tool_of_the_server_can_be_declared(entry: Any) -> None:
    tool = RoleTool.of(entry)
    made = declared(ToolSpec(tool.name, tool.description or "", tool.parameters))
    assert made["name"] == entry.name
    if tool.parameters.get("properties"):
        assert made["parameters"]["type_"] == "OBJECT"
        assert made["parameters"]["properties"].keys() == tool.parameters["properties"].keys()
        assert unknown(made["parameters"]) == set()
    else:
        assert "parameters" not in made


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"type": "integer", "minimum": 1}, {"type_": "INTEGER"}),
        (
            {"anyOf": [{"type": "null"}, {"type": "number"}], "description": "x"},
            {"type_": "NUMBER", "nullable": True, "description": "x"},
        ),
        ({"enum": ["a", "b"]}, {"type_": "STRING", "format_": "enum", "enum": ["a", "b"]}),
        ({"const": "a"}, {"type_": "STRING", "format_": "enum", "enum": ["a"]}),
        ({"type": "array", "items": {"$ref": "#/$defs/n"}}, {"type_": "ARRAY", "items": {"type_": "BOOLEAN"}}),
        ({"type": "object"}, {"type_": "STRING", "description": "JSON object, as text"}),
        ({"$ref": "#/$defs/missing"}, {"type_": "STRING"}),
    ],
)
def test_what_is_left_of_a_schema(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert schema_of(given, {"$defs": {"n": {"type": "boolean"}}}) == kept


def test_a_schema_that_contains_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    assert unknown(schema_of(node, {"$defs": {"node": node}})) == set()
    assert schema_of({"$ref": "#/$defs/a"}, {"$defs": {"a": {"$ref": "#/$defs/a"}}}) == {"type_": "STRING"}


def test_integers_and_objects_come_back_from_floats_and_texts() -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object"}, "note": {"type": "string"}}}
    given = {"n": 3.0, "x": 0.5, "big": 2.0**60, "list": [1.0, {"y": 2.0}], "spec": '{"rounds": 2}', "note": '{"a": 1}'}
    assert repr(restored(given, schema)) == repr(
        {"n": 3, "x": 0.5, "big": 2.0**60, "list": [1, {"y": 2}], "spec": {"rounds": 2}, "note": '{"a": 1}'}
    )
    assert restored({"spec": "{no"}, schema) == {"spec": "{no"}
