"""What a caller cannot learn: another node's update, upload, token or score, nor anything once its token has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.mcp_server.raw_node import RawNode, cohort, enrolled, packed, sha256
from tests.mcp_server.refusals import refused
from tests.mcp_server.rpc import META, VERSION, ProtocolError
from tests.mcp_server.running import Served

pytestmark = pytest.mark.anyio
ROLES = ("viewer", "node", "operator")
JSON = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
SESSION = {"MCP-Protocol-Version": "2025-06-18"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@pytest.mark.parametrize("state", ["announced", "sent", "submitted", "closed"])
async def test_no_role_can_read_an_updates_bytes_even_with_its_hash(served: Served, state: str) -> None:
    node, other = await cohort(served)
    data = packed(value=7.0 + len(state))
    begun = await node.begin(data)
    if state != "announced":
        await node.put(begun["url"], data)
    if state in ("submitted", "closed"):
        await node.submit(data, begun["upload_id"])
    if state == "closed":
        await other.submit_inline(packed(value=0.5))
        await served.close_due_rounds()
    for role in ROLES:
        rpc = served.rpc((await served.token(role)).secret)
        for offset in (0, 1, len(data)):
            with pytest.raises(ProtocolError, match="no model version has this hash"):
                await rpc.read(f"potluck://blobs/{sha256(data)}/{offset}")
    forged = served.federation.shared.lanes.blob_url(sha256(data), node.task_id).replace(".", ".x", 1)
    assert (await served.http.get(f"/{forged}")).status_code == 403


async def test_an_upload_of_another_node_looks_like_one_that_does_not_exist(served: Served) -> None:
    node, other = await cohort(served)
    data = packed(value=11.0)
    begun = await node.begin(data)
    await node.chunk(begun["upload_id"], 0, data[:100])
    answers = []
    for upload_id in (begun["upload_id"], "up-" + "a" * 24):
        result = await other.rpc.ask(
            "tools/call",
            {
                "name": "upload_chunk",
                "arguments": {
                    "node_id": other.node_id,
                    "node_token": other.node_token,
                    "upload_id": upload_id,
                    "offset": 0,
                    "data_b64": "",
                },
            },
        )
        answers.append(json.dumps(result["structuredContent"]).replace(upload_id, "ID"))
    assert answers[0] == answers[1]


async def test_announcing_another_nodes_hash_tells_nothing_of_its_upload(served: Served) -> None:
    node, other = await cohort(served)
    data = packed(value=12.0)
    await node.put((await node.begin(data))["url"], data)
    theirs, unknown = await other.begin(data), await other.begin(packed(value=13.0))
    assert (theirs["received"], theirs["next_offset"]) == (unknown["received"], unknown["next_offset"]) == (False, 0)


async def test_a_node_sees_the_mean_of_three_nodes_scores_but_not_of_two(served: Served) -> None:
    async def deliver(nodes: list[RawNode]) -> list[dict[str, Any]]:
        for node, accuracy in zip(nodes, (0.2, 0.4, 0.9), strict=False):
            metrics = {"eval_accuracy": accuracy, "eval_loss": 1.0, "eval_examples": 10}
            await node.submit_inline(packed(value=accuracy), metrics=metrics)
        await served.close_due_rounds()
        views = []
        for role in ROLES:
            rpc = served.rpc((await served.token(role)).secret)
            views.append(await rpc.call("get_task", task_id=nodes[0].task_id))
            resource = await rpc.read(f"potluck://tasks/{nodes[0].task_id}")
            assert resource["initial_scores"] == views[-1]["initial_scores"]
            assert views[-1]["rounds"][0]["accuracy"] > 0, "the server's own score is everybody's"
        return [view["initial_scores"] for view in views]

    viewer, node, operator = await deliver(await cohort(served, 2))
    assert viewer == operator
    assert viewer["eval_accuracy"] == pytest.approx(0.3)
    assert "eval_accuracy" not in node
    viewer, node, _ = await deliver(await cohort(served, 3))
    assert node["eval_accuracy"] == viewer["eval_accuracy"] == pytest.approx(0.5)


async def test_a_node_does_not_learn_who_holds_a_share(served: Served) -> None:
    one, other = await enrolled(served), await enrolled(served)
    task_id = await served.task(data={"id": "digits", "partition": {"parts": 1}})
    await one.join(task_id)
    for wanted in ({"partition_index": 0}, {}):
        result = await other.rpc.ask(
            "tools/call",
            {
                "name": "get_assignment",
                "arguments": {"node_id": other.node_id, "node_token": other.node_token, "task_id": task_id} | wanted,
            },
        )
        assert result["structuredContent"]["error"]["code"] == "partition_taken"
        assert one.node_id not in json.dumps(result)


async def test_a_node_of_one_task_cannot_deliver_to_another(served: Served) -> None:
    node, _ = await cohort(served)
    elsewhere, _ = await cohort(served)
    data = packed(value=14.0)
    begun = await node.begin(data)
    await node.put(begun["url"], data)
    async with refused(served, "not_in_cohort"):
        await node.begin(data, task_id=elsewhere.task_id)
    async with refused(served, "not_in_cohort"):
        await node.submit(data, begun["upload_id"], task_id=elsewhere.task_id)
    async with refused(served, "not_in_cohort"):
        await node.call("report_progress", task_id=elsewhere.task_id, round=1)


async def test_no_answer_carries_a_token_of_another_caller(served: Served) -> None:
    node, other = await cohort(served)
    secrets = [node.node_token, node.rpc.headers["Authorization"].split()[1]]
    for role in ROLES:
        rpc = served.rpc((await served.token(role)).secret)
        seen = json.dumps(await rpc.call("get_task", task_id=node.task_id))
        for uri in ("potluck://nodes", f"potluck://tasks/{node.task_id}/rounds/1", "potluck://audit"):
            try:
                seen += json.dumps(await rpc.read(uri))
            except ProtocolError as error:
                seen += str(error)
        assert not any(secret in seen for secret in secrets)
        assert other.node_id in seen or role == "node"


STREAMS = ["listen", "session", "sse"]


@asynccontextmanager
async def stream(served: Served, kind: str, secret: str) -> AsyncGenerator[httpx2.Response]:
    """A stream of change notices that has begun."""
    bearer = {"Authorization": f"Bearer {secret}"}
    if kind == "listen":
        wanted = {"notifications": {"resourceSubscriptions": ["potluck://tasks"]}, "_meta": META}
        body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": wanted}
        modern = {"MCP-Protocol-Version": VERSION, "Mcp-Method": "subscriptions/listen"}
        call = ("POST", "/mcp", body, JSON | modern | bearer)
    elif kind == "session":
        opened = await served.http.post("/mcp", json=INITIALIZE, headers=JSON | bearer)
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        call = ("GET", "/mcp", None, JSON | SESSION | session | bearer)
    else:
        call = ("GET", "/sse", None, bearer)
    method, path, json_body, headers = call
    async with served.http.stream(method, path, json=json_body, headers=headers) as response:
        assert response.status_code == 200
        yield response


async def its_end(response: httpx2.Response) -> None:
    async with asyncio.timeout(10):
        async for _ in response.aiter_bytes():
            pass


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_revoked_tokens_streams_end_at_once(served: Served, kind: str) -> None:
    token, other = await served.token("viewer"), await served.token("viewer")
    async with stream(served, kind, token.secret) as response, stream(served, kind, other.secret) as kept:
        await served.federation.tokens.revoke(token.token_id, actor="test")
        await its_end(response)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await its_end(kept)


@pytest.mark.parametrize("kind", STREAMS)
async def test_an_expired_tokens_streams_end_with_it(served: Served, kind: str) -> None:
    token = await served.token("viewer", lifetime_s=0.5)
    async with stream(served, kind, token.secret) as response:
        await its_end(response)


async def test_a_long_poll_ends_with_the_token_that_it_came_with(served: Served) -> None:
    token = await served.token("node")
    node = await RawNode(served, served.rpc(token.secret)).shake_hands()
    task_id = await served.task(cohort={"size": 5, "min_nodes": 5})
    await node.join(task_id)
    params = {"name": "get_assignment", "arguments": {"task_id": task_id, "wait_s": 30}}
    params["arguments"] |= {"node_id": node.node_id, "node_token": node.node_token}
    waiting = asyncio.create_task(node.rpc.post("tools/call", params))
    async with asyncio.timeout(10):
        while task_id not in served.federation.shared.notices._next:
            await asyncio.sleep(0.01)
        await served.federation.tokens.revoke(token.token_id, actor="test")
        answer = await waiting
    assert answer.status_code == 401 or "action" not in answer.text
