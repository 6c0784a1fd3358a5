"""Who calls: a wrong token is 401 on every path and transport, and never quietly the anonymous caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.mcp_server.raw_node import RawNode, cohort, packed
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio
JSON = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
CLIENT = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}
TOOLS = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
DOORS = {
    "modern": (
        "POST",
        "/mcp",
        TOOLS | {"params": {}},
        {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"},
    ),
    "legacy": ("POST", "/mcp", INITIALIZE, {}),
    "legacy stream": ("GET", "/mcp", None, {}),
    "legacy end": ("DELETE", "/mcp", None, {"Mcp-Session-Id": "x"}),
    "sse": ("GET", "/sse", None, {}),
    "messages": ("POST", "/messages/?session_id=00000000000000000000000000000000", INITIALIZE, {}),
    "metrics": ("GET", "/metrics", None, {}),
    "upload": ("PUT", "/raw/uploads/x", None, {}),
    "download": ("GET", "/raw/blobs/x", None, {}),
    "nothing": ("GET", "/nothing", None, {}),
}


@pytest.fixture(scope="module")
async def strict(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    """A server that demands a token."""
    async with serving(tmp_path_factory.mktemp("strict"), anonymous_role="none") as running:
        yield running


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def knock(served: Served, door: str, headers: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, error and headers of a request at one of the doors."""
    method, path, body, more = DOORS[door]
    answer = await served.http.request(method, path, json=body, headers=JSON | more | headers)
    return answer.status_code, answer.json().get("error", {}), dict(answer.headers)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "kind", ["wrong", "tampered", "revoked", "expired", "empty", "basic", "no scheme", "of another server"]
)
async def test_a_token_that_is_not_valid_is_401_at_every_door(
    served: Served, strict: Served, door: str, kind: str
) -> None:
    token = await served.token("operator", lifetime_s=60)
    headers = bearer(token.secret)
    match kind:
        case "wrong":
            headers = bearer("pl_aaaaaaaaaaaaaaaa_" + "A" * 43)
        case "tampered":
            headers = bearer(token.secret[:-2] + "AA")
        case "revoked":
            await served.federation.tokens.revoke(token.token_id, actor="test")
        case "empty":
            headers = {"Authorization": ""}
        case "basic":
            headers = {"Authorization": f"Basic {token.secret}"}
        case "no scheme":
            headers = {"Authorization": token.secret}
        case "of another server":
            headers = bearer((await strict.token("operator")).secret)
    with served.clock.later(61 if kind == "expired" else 0):
        before = await served.snapshot()
        status, error, answered = await knock(served, door, headers)
        assert await served.snapshot() == before
    assert (status, error["code"]) == (401, "unauthorized")
    assert "issue_token" in error["mend"]
    assert answered["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("door", [door for door in DOORS if door not in ("upload", "download")])
async def test_without_a_token_a_server_that_demands_one_answers_401(strict: Served, door: str) -> None:
    status, error, answered = await knock(strict, door, {})
    assert (status, error["code"]) == (401, "unauthorized")
    assert "demands" in error["problem"]
    assert "www-authenticate" in answered


async def test_health_needs_no_token_and_says_nothing_else(strict: Served) -> None:
    answer = await strict.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_signed_url_is_its_own_leave_where_a_token_is_demanded(strict: Served) -> None:
    node, _ = await cohort(strict)
    data = packed(value=1.0)
    begun = await node.begin(data)
    assert (await node.put(begun["url"], data))["upload_id"] == begun["upload_id"]
    assert (await strict.http.get(f"/{node.assignment['model']['url']}")).status_code == 200
    wrong = await strict.http.get(f"/{node.assignment['model']['url']}", headers=bearer("wrong"))
    assert wrong.status_code == 401


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_client_with_a_token_is_let_in_by_every_transport_and_era(
    strict: Served, transport: str, mode: str
) -> None:
    token = await strict.token("viewer")
    async with strict.client(token.secret, transport=transport, mode=mode) as client:
        result = await client.call_tool("list_tasks", {})
        assert not result.is_error
        refused = await client.call_tool("issue_token", {"request_id": "not-for-you", "role": "operator"})
    assert refused.is_error
    assert refused.structured_content is not None
    assert refused.structured_content["error"]["code"] == "forbidden"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize("secret", [None, "wrong"])
async def test_a_client_without_a_valid_token_does_not_get_in(
    strict: Served, transport: str, mode: str, secret: str | None
) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the SDK's errors come singly and in groups
        async with strict.client(secret, transport=transport, mode=mode):
            pass
    assert not isinstance(caught.value, asyncio.CancelledError)


async def test_a_revoked_token_is_worth_nothing_in_a_session_that_it_opened(served: Served) -> None:
    token = await served.token("operator")
    opened = await served.http.post("/mcp", json=INITIALIZE, headers=JSON | bearer(token.secret))
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-06-18"}
    await served.federation.tokens.revoke(token.token_id, actor="test")
    answer = await served.http.post("/mcp", json=TOOLS, headers=JSON | session | bearer(token.secret))
    assert answer.status_code == 401


@pytest.mark.parametrize("thief", ["viewer", "node", "operator", None])
async def test_a_session_answers_only_whom_it_was_opened_by(served: Served, thief: str | None) -> None:
    token = await served.token("operator")
    opened = await served.http.post("/mcp", json=INITIALIZE, headers=JSON | bearer(token.secret))
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-06-18"}
    stolen = {} if thief is None else bearer((await served.token(thief)).secret)
    for method, body in (("POST", TOOLS), ("GET", None), ("DELETE", None)):
        answer = await served.http.request(method, "/mcp", json=body, headers=JSON | session | stolen)
        assert answer.status_code == 404
    kept = await served.http.post("/mcp", json=TOOLS, headers=JSON | session | bearer(token.secret))
    assert kept.status_code == 200


@pytest.mark.parametrize("thief", ["viewer", "node", "operator", None])
async def test_an_sse_session_answers_only_whom_it_was_opened_by(served: Served, thief: str | None) -> None:
    token = await served.token("operator")
    stolen = {} if thief is None else bearer((await served.token(thief)).secret)
    async with served.http.stream("GET", "/sse", headers=bearer(token.secret)) as stream:
        lines = stream.aiter_lines()
        async for line in lines:
            if line.startswith("data:"):
                break
        path = line.removeprefix("data:").strip()
        assert (await served.http.post(path, json=INITIALIZE, headers=JSON | stolen)).status_code == 404
        own = await served.http.post(path, json=INITIALIZE, headers=JSON | bearer(token.secret))
        assert own.status_code == 202


async def test_a_session_of_an_anonymous_caller_is_not_raised_by_an_operators_token(served: Served) -> None:
    opened = await served.http.post("/mcp", json=INITIALIZE, headers=JSON)
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-06-18"}
    token = await served.token("operator")
    answer = await served.http.post("/mcp", json=TOOLS, headers=JSON | session | bearer(token.secret))
    assert answer.status_code == 404


async def test_a_preset_operator_token_works_and_no_part_of_it_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    preset = "correct horse battery staple"
    async with serving(tmp_path_factory.mktemp("preset"), operator_token=preset) as running:
        assert len((await running.rpc(preset).ask("tools/list"))["tools"]) == 16
        for wrong in (preset[:-1], preset + "x", preset.upper()):
            assert (await running.rpc(wrong).post("tools/list")).status_code == 401


async def test_nodes_of_a_revoked_enrolment_are_out_at_once(served: Served) -> None:
    token = await served.token("node")
    node = await RawNode(served, served.rpc(token.secret)).shake_hands()
    await node.join(await served.task())
    await served.federation.tokens.revoke(token.token_id, actor="test")
    assert (await node.rpc.post("tools/list")).status_code == 401


async def test_a_token_that_has_been_used_still_ends_in_time(served: Served) -> None:
    rpc = served.rpc((await served.token("viewer", lifetime_s=60)).secret)
    assert (await rpc.post("tools/list")).status_code == 200
    with served.clock.later(61):
        assert (await rpc.post("tools/list")).status_code == 401


async def test_a_token_is_looked_up_in_the_database_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, looked_up = served.federation.tokens, []
    look_up = tokens._row
    monkeypatch.setattr(tokens, "_row", lambda token_id: looked_up.append(token_id) or look_up(token_id))
    token = await served.token("viewer")
    holders = [await tokens.verify(token.secret) for _ in range(3)]
    assert {holder.token_id for holder in holders if holder} == {token.token_id}
    assert looked_up == [token.token_id]


async def test_a_token_that_is_revoked_while_it_is_looked_up_is_worth_nothing_from_then_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = served.federation.tokens
    token = await served.token("viewer")
    look_up = tokens._row

    async def overtaken(token_id: str) -> Any:
        row = await look_up(token_id)
        if row["revoked_at"] is None:
            await tokens.revoke(token_id, actor="test")
        return row

    monkeypatch.setattr(tokens, "_row", overtaken)
    assert await tokens.verify(token.secret) is None
    assert await tokens.verify(token.secret) is None
