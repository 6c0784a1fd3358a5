"""What each role sees and may do, and what the tools say of themselves."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.mcp_server.raw_node import cohort
from tests.mcp_server.refusals import refused
from tests.mcp_server.rpc import ProtocolError, Rpc
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio
VIEWER = ["search_models", "search_datasets", "validate_task", "list_tasks", "get_task", "predict"]
NODE = ["get_task", "handshake", "get_assignment", "begin_upload", "upload_chunk", "submit_update", "report_progress"]
OPERATOR = [
    *VIEWER,
    *(
        "create_task",
        "run_simulation",
        "control_task",
        "aggregate_round",
        "evaluate_model",
        "export_model",
        "plan_task",
        "issue_token",
    ),
]
ALL = [*VIEWER, *NODE[1:], *OPERATOR[len(VIEWER) :]]
ROLES = {"viewer": VIEWER, "node": NODE, "operator": OPERATOR, "anonymous": VIEWER}
READS = {*VIEWER, "export_model", "plan_task"}


async def line(served: Served, role: str) -> Rpc:
    """A caller of this role; `anonymous` brings no token."""
    return served.rpc(None if role == "anonymous" else (await served.token(role)).secret)


@pytest.fixture(scope="module")
async def wide_open(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    async with serving(tmp_path_factory.mktemp("open"), open=True) as running:
        yield running


async def listed(rpc: Rpc) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = (await rpc.ask("tools/list"))["tools"]
    return tools


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_sees_exactly_its_tools_in_a_stable_order(served: Served, role: str) -> None:
    rpc = await line(served, role)
    for _ in range(3):
        assert [tool["name"] for tool in await listed(rpc)] == ROLES[role]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize("role", ["viewer", "node", "operator"])
async def test_every_transport_and_era_shows_the_same_tools(
    served: Served, role: str, transport: str, mode: str
) -> None:
    token = await served.token(role)
    async with served.client(token.secret, transport=transport, mode=mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ROLES[role]


async def test_an_open_server_shows_everything_to_everyone(wide_open: Served) -> None:
    for rpc in (wide_open.rpc(), await line(wide_open, "viewer")):
        assert [tool["name"] for tool in await listed(rpc)] == ALL
    assert (await wide_open.rpc("wrong").post("tools/list")).status_code == 401


@pytest.mark.parametrize("role", ROLES)
async def test_a_call_beyond_the_role_is_refused_by_the_roles_name(served: Served, role: str) -> None:
    rpc = await line(served, role)
    shown = "viewer" if role == "anonymous" else role
    for tool in ALL:
        if tool not in ROLES[role]:
            async with refused(served, "forbidden", says=f"this caller is {shown}"):
                await rpc.call(tool)
            async with refused(served, "forbidden", says=f"{tool} is for the role"):
                await rpc.call(tool, anything="at all")


async def test_an_anonymous_role_of_node_lets_nodes_in_without_a_token(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous_role="node") as running:
        assert [tool["name"] for tool in await listed(running.rpc())] == NODE


@pytest.mark.parametrize(
    "uri",
    [
        "potluck://nodes",
        "potluck://tasks/{task_id}/metrics",
        "potluck://tasks/{task_id}/rounds/1",
        "potluck://tasks/{task_id}/model/0",
    ],
)
async def test_a_node_cannot_read_what_is_known_of_other_nodes(served: Served, uri: str) -> None:
    task_id = (await cohort(served))[0].task_id
    address = uri.format(task_id=task_id)
    with pytest.raises(ProtocolError, match="for the role viewer or operator; this caller is node"):
        await (await line(served, "node")).read(address)
    for role in ("viewer", "operator", "anonymous"):
        assert await (await line(served, role)).read(address) is not None


async def test_get_task_names_the_members_to_people_but_not_to_nodes(served: Served) -> None:
    one, other = await cohort(served)
    for role, sees in (("viewer", True), ("operator", True), ("node", False)):
        rpc = await line(served, role)
        by_tool = await rpc.call("get_task", task_id=one.task_id)
        by_resource = await rpc.read(f"potluck://tasks/{one.task_id}")
        for view in (by_tool, by_resource):
            assert (other.node_id in json.dumps(view)) == sees


async def test_measuring_is_for_operators(served: Served) -> None:
    async with refused(served, "forbidden", says="measure=true"):
        await served.rpc().call("validate_task", spec={}, measure=True)


async def test_every_tool_says_what_it_is_and_what_it_does_to_the_world(wide_open: Served) -> None:
    for tool in await listed(wide_open.rpc()):
        hints = tool["annotations"]
        assert tool["title"]
        assert 30 < len(tool["description"]) < 400, tool["name"]
        assert set(hints) >= {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
        assert hints["readOnlyHint"] == (tool["name"] in READS)
        assert hints["destructiveHint"] == (tool["name"] in {"control_task", "issue_token"})
        assert hints["openWorldHint"] == tool["name"].startswith(
            ("search_", "create_task", "run_simulation", "evaluate_model", "plan_task")
        )
        assert hints["idempotentHint"]


async def test_every_tool_has_a_schema_of_what_it_takes_and_answers(wide_open: Served) -> None:
    for tool in await listed(wide_open.rpc()):
        takes, answers = tool["inputSchema"], tool["outputSchema"]
        assert takes["type"] == answers["type"] == "object"
        assert set(takes.get("required", [])) <= set(takes.get("properties", {}))
        assert answers["properties"], tool["name"]


@pytest.mark.parametrize(
    ("role", "most"),
    [
        ("operator", 20_000),
        ("open", 26_000),
        ("node", 8_000),
    ],
)
async def test_the_list_of_tools_fits_its_budget(served: Served, wide_open: Served, role: str, most: int) -> None:
    tools = await listed(wide_open.rpc() if role == "open" else await line(served, role))
    assert len(json.dumps(tools, separators=(",", ":"))) <= most


@pytest.mark.parametrize("tool", ["list_tasks", "get_task", "validate_task"])
async def test_an_argument_that_a_tool_does_not_have_is_refused(served: Served, tool: str) -> None:
    async with refused(served, "invalid_argument", says="'tsak_id'"):
        await served.rpc().call(tool, tsak_id="x")


@pytest.mark.parametrize("tool", ["get_task", "predict"])
async def test_a_missing_argument_is_named(served: Served, tool: str) -> None:
    async with refused(served, "invalid_argument", says="task_id"):
        await served.rpc().call(tool)


@pytest.mark.parametrize("tool", ["fetch", "../../etc/passwd", "x" * 5000])
async def test_a_tool_that_does_not_exist_is_refused(served: Served, tool: str) -> None:
    async with refused(served, "not_found"):
        await served.rpc().call(tool)
