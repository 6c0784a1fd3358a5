"""docs/protocol.md and docs/security.md say what the code does; whoever adds something here says it there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
import torch
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from federation.coordinator.federation import Federation
from federation.coordinator.traffic import Traffic
from federation.errors import ErrorCode
from federation.fault_points import NODE_POINTS, POINTS
from federation.identity import PublicKey, b64url, handshake_message, update_message
from federation.rounds import RoundState, TaskState
from federation.spec import TaskSpec
from federation.weights import pack_update
from mcp_server.prompts import register_prompts
from mcp_server.refusals import STATUS
from mcp_server.settings import Settings
from mcp_server.telemetry import Telemetry
from potluck.cli import app
from resources import uris
from tests.docs.pages import blocks, headings, page, section, table
from tools.catalogue import TOOLS
from tools.context import Access
from tools.contract import Entry, RoleTool

PROTOCOL = page("docs/protocol.md")
EACH_TOOL = pytest.mark.parametrize("entry", TOOLS, ids=lambda entry: entry.name)
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_every_tool_has_a_section_and_every_section_a_tool() -> None:
    assert headings(section(PROTOCOL, "Tools"), 3) == [entry.name for entry in TOOLS]


def test_no_page_of_reference_names_a_tool_that_does_not_exist() -> None:
    names = {entry.name for entry in TOOLS}
    verbs = {name.partition("_")[0] for name in names} - {"upload", "validate", "predict", "handshake"} | {
        "plan",
        "run",
    }
    for path in ("docs/protocol.md", "docs/security.md", "README.md"):
        named = set(re.findall(rf"`((?:{'|'.join(sorted(verbs))})_[a-z_]+)`", page(path)))
        assert named <= names, path


@EACH_TOOL
def test_every_argument_is_documented_with_its_default(entry: Entry) -> None:
    parameters = RoleTool.of(entry).parameters
    documented = table(section(PROTOCOL, entry.name), "argument")
    assert documented.keys() == parameters.get("properties", {}).keys()
    for name, schema in parameters.get("properties", {}).items():
        if name in parameters.get("required", []):
            expected = "required"
        else:
            expected = _default(schema["default"]) if "default" in schema else "–"
        assert documented[name][1] == expected, name


@EACH_TOOL
def test_every_argument_is_documented_with_its_bounds(entry: Entry) -> None:
    for name, schema in RoleTool.of(entry).parameters.get("properties", {}).items():
        bounds = table(section(PROTOCOL, entry.name), "argument")[name][0]
        for value in schema.get("enum", []):
            assert f"`{value}`" in bounds, name
        for key in ("minimum", "maximum", "maxLength", "minItems", "maxItems", "maxProperties"):
            if key in schema:
                assert any(spelling in bounds for spelling in _spellings(schema[key])), f"{name}: {key} {schema[key]}"


@EACH_TOOL
def test_every_tool_is_documented_with_its_roles(entry: Entry) -> None:
    roles = ", ".join(role for role in ("viewer", "node", "operator") if Access(role) in entry.roles)
    assert section(PROTOCOL, entry.name).strip().startswith(f"Roles: {roles}.")


@EACH_TOOL
def test_every_result_field_is_documented(entry: Entry) -> None:
    schema = RoleTool.of(entry).output_schema or {}
    documented = re.findall(r"[a-z_0-9]+", section(PROTOCOL, entry.name))
    assert schema["properties"].keys() <= set(documented)


def test_the_table_of_roles_is_that_of_the_code() -> None:
    documented = table(page("docs/security.md"), "tool")
    assert documented.keys() == {entry.name for entry in TOOLS}
    for entry in TOOLS:
        cells = dict(zip(("viewer", "node", "operator"), documented[entry.name], strict=True))
        assert {role for role, cell in cells.items() if cell.startswith("✓")} == {str(role) for role in entry.roles}
    roles = table(section(PROTOCOL, "Roles"), "role")
    for role in ("viewer", "node"):
        assert set(re.findall(r"`(\w+)`", roles[role][1])) == {
            entry.name for entry in TOOLS if Access(role) in entry.roles
        }


def test_every_error_code_has_a_meaning_and_a_mend() -> None:
    documented = table(section(PROTOCOL, "Errors"), "code")
    assert documented.keys() == {code.value for code in ErrorCode}
    assert all(meaning and mend for meaning, mend in documented.values())


def test_every_state_is_documented() -> None:
    states = section(PROTOCOL, "States")
    assert table(states, "task state").keys() == {state.value for state in TaskState}
    assert table(states, "round state").keys() == {state.value for state in RoundState}


def test_every_setting_is_documented_with_flag_variable_and_default() -> None:
    documented = table(section(PROTOCOL, "Settings"), "setting")
    assert documented.keys() == Settings.model_fields.keys()
    flags = {option for parameter in COMMANDS["serve"].params for option in parameter.opts}
    for name, field in Settings.model_fields.items():
        flag, variable, default, _ = documented[name]
        expected_flag = f"--{name.replace('_', '-')}"
        assert flag.startswith(f"`{expected_flag}`" if expected_flag in flags else "none"), name
        assert variable.startswith(f"`POTLUCK_{name.upper()}`"), name
        assert default == ("none" if field.default is None else _default(field.default)), name


def test_every_other_variable_of_the_environment_is_documented() -> None:
    for variable in ("POTLUCK_CONFIG", "POTLUCK_TOKEN", "POTLUCK_DATA", "POTLUCK_CACHE"):
        assert f"`{variable}`" in section(PROTOCOL, "Settings")


def test_every_resource_is_documented() -> None:
    served = {value for name, value in vars(uris).items() if name.isupper()}
    assert table(section(PROTOCOL, "Resources"), "URI").keys() == served


def test_every_prompt_is_documented_with_its_arguments() -> None:
    server = MCPServer("prompts")
    register_prompts(server)
    documented = table(section(PROTOCOL, "Prompts and completions"), "prompt")
    prompts = server._prompt_manager.list_prompts()
    assert documented.keys() == {prompt.name for prompt in prompts}
    for prompt in prompts:
        for argument in prompt.arguments or []:
            assert f"`{argument.name}`" in documented[prompt.name][0]


def test_every_field_of_the_spec_is_documented_with_its_default() -> None:
    documented = table(section(PROTOCOL, "Task spec"), "field")
    fields = dict(_fields(TaskSpec))
    assert documented.keys() == fields.keys()
    for name, field in fields.items():
        if name == "cohort.size":
            continue  # it depends on whether there is a cohort at all
        default = field.get_default(call_default_factory=True)
        expected = "required" if default is PydanticUndefined else "–" if default is None else _default(default)
        assert documented[name][1] == expected, name


def test_every_status_of_the_raw_lane_is_documented() -> None:
    statuses = set(
        re.findall(r"\d{3}", " ".join(table(section(PROTOCOL, "The raw lane").partition("**Down:**")[0], "status")))
    )
    assert statuses >= {str(status) for status in STATUS.values()}


def test_every_metric_is_documented() -> None:
    documented = table(section(PROTOCOL, "HTTP endpoints"), "metric")
    telemetry = Telemetry(cast(Federation, SimpleNamespace(traffic=Traffic())))
    names = {family.name + ("_total" if family.type == "counter" else "") for family in telemetry._registry.collect()}
    assert documented.keys() == names


def test_every_command_is_documented_with_its_options() -> None:
    rows = table(section(PROTOCOL, "Command line"), "command")
    documented = {name: " ".join(" ".join(rows[row]) for row in rows if row.split()[1] == name) for name in COMMANDS}
    assert {row.split()[1] for row in rows} == COMMANDS.keys()
    for name, command in COMMANDS.items():
        settings = section(PROTOCOL, "Settings") if name == "serve" else ""
        for option in (option for parameter in command.params for option in parameter.opts):
            if option.startswith("--") and option != "--help":
                assert f"`{option}`" in documented[name] + settings, f"{name} {option}"


def test_the_signatures_on_the_page_come_out_to_the_letter() -> None:
    vector = next(json.loads(block.code) for block in blocks(PROTOCOL) if "seed_hex" in block.code)
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["seed_hex"]))
    key = PublicKey.parse(vector["public_key"])
    assert key.jwk["x"] == b64url(private.public_key().public_bytes_raw())
    assert key.node_id == vector["node_id"]

    handshake, update = vector["handshake"], vector["update"]
    messages = {
        "handshake": handshake_message(handshake["audience"], handshake["challenge"]),
        "update": update_message(**{name: update[name] for name in update.keys() - {"message", "signature"}}),
    }
    for name, message in messages.items():
        assert message.decode() == vector[name]["message"]
        assert b64url(private.sign(message)) == vector[name]["signature"]


def test_the_update_on_the_page_has_the_bytes_that_it_states() -> None:
    update = pack_update({"1.weight": torch.tensor([[0.5, -1.0]]), "1.bias": torch.tensor([0.25])})
    files = section(PROTOCOL, "Files")
    shown = blocks(files)[0].code.splitlines()
    header = shown[1].partition("  (")[0].encode() + b"  "
    assert bytes.fromhex(shown[0]) + header + bytes.fromhex(shown[2]) == update
    assert hashlib.sha256(update).hexdigest() in files
    assert f"{len(update)} bytes" in files


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        sections = [a for a in (field.annotation, *get_args(field.annotation)) if isinstance(a, type)]
        section = next((each for each in sections if issubclass(each, BaseModel)), None)
        if section is not None:
            yield from _fields(section, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _default(value: Any) -> str:
    if value == "":
        return '`""`'
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _spellings(number: float) -> set[str]:
    powers = {2**40: "2^40", 10**9: "10^9"}
    return {str(number), f"{number:,}", powers.get(int(number), "ten years" if number == 315_360_000 else str(number))}


def test_every_fault_point_is_explained() -> None:
    lines = page("docs/faults.md").splitlines()
    rows = [line.split("|")[1].strip().strip("`") for line in lines if line.startswith("| `")]
    assert set(POINTS) <= set(rows)
    assert {row for row in rows if row.startswith("node_")} == set(NODE_POINTS), (
        "a point that is gone is still explained"
    )
