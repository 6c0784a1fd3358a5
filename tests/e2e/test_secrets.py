"""A server at DEBUG, through successes and failures, says no secret: on stderr, in an answer, or in its journal."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from machine import OPERATOR, Machine, spec
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from federation.identity import b64url, handshake_message, update_message
from federation.weights import load_bytes, pack_update

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),
]


class Witness:
    """Gathers every secret that it sees, and every answer in which none may occur."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.secrets: dict[str, str] = {"operator": OPERATOR}
        self.refusals: list[str] = []
        self.key = Ed25519PrivateKey.from_private_bytes(b"witness".ljust(32, b"."))

    async def call(self, client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
        """A call; a refusal is kept."""
        result = await client.call_tool(tool, arguments)
        content: dict[str, Any] = result.structured_content or {}
        if result.is_error:
            self.refusals.append(json.dumps(content) + str(result.content))
        return content

    async def raw(self, http: httpx2.AsyncClient, method: str, path: str, **kwargs: Any) -> httpx2.Response:
        """A request; an error is kept."""
        answer = await http.request(method, f"{self.url}/{path}", **kwargs)
        if answer.status_code >= 400:
            self.refusals.append(answer.text + str(answer.headers))
        return answer

    def ticket(self, name: str, url: str) -> str:
        """A signed URL, whose ticket is the secret."""
        self.secrets[name] = url.rpartition("/")[2]
        return url


async def go_through_everything(witness: Witness, transport: str, mode: str) -> None:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {OPERATOR}"}, timeout=30) as http:
        line: Any = streamable_http_client(f"{witness.url}/mcp", http_client=http)
        if transport == "sse":
            line = sse_client(f"{witness.url}/sse", headers=dict(http.headers))
        async with Client(line, mode=mode) as operator:
            task_id = (await witness.call(operator, "create_task", **task(transport, mode)))["task_id"]
            issued = await witness.call(operator, "issue_token", role="node", request_id=f"node-{transport}-{mode}")
            witness.secrets[f"node {transport} {mode}"] = issued["token"]
            await witness.call(operator, "issue_token", role="node", request_id=f"{OPERATOR}!")
            model = await witness.call(operator, "export_model", task_id=task_id)
            witness.ticket("download", model["url"])
            base = load_bytes((await witness.raw(http, "GET", model["url"])).content)
    bearer = {"Authorization": f"Bearer {issued['token']}"}
    async with httpx2.AsyncClient(headers=bearer, timeout=30) as http:
        line = streamable_http_client(f"{witness.url}/mcp", http_client=http)
        if transport == "sse":
            line = sse_client(f"{witness.url}/sse", headers=bearer)
        async with Client(line, mode=mode) as node:
            await be_a_node(witness, http, node, task_id, {name: value * 0 + 1 for name, value in base.items()})
        await stray(witness, http, issued["token"])


async def be_a_node(witness: Witness, http: httpx2.AsyncClient, node: Client, task_id: str, delta: Any) -> None:
    x = b64url(witness.key.public_key().public_bytes_raw())
    audience = witness.url.removeprefix("http://")
    me: dict[str, Any] = {
        "public_key": {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}},
        "capabilities": {"runtime": "test", "device": "cpu"},
        "audience": audience,
    }
    challenge = (await witness.call(node, "handshake", **me))["challenge"]
    witness.secrets["challenge"] = challenge
    await witness.call(node, "handshake", **me, challenge=challenge, signature="wrong")
    signature = b64url(witness.key.sign(handshake_message(audience, challenge)))
    welcome = await witness.call(node, "handshake", **me, challenge=challenge, signature=signature)
    witness.secrets["node token"] = welcome["node_token"]
    who = {"node_id": welcome["node_id"], "node_token": welcome["node_token"]}
    await witness.call(node, "get_assignment", **who, task_id="task-aaaaaaaaaaaaaaaa")
    await witness.call(node, "get_assignment", **(who | {"node_id": "node-aaaaaaaaaaaaaaaa"}), task_id=task_id)
    await witness.call(node, "get_assignment", **who, task_id=task_id, nonsense=welcome["node_token"])
    work = await witness.call(node, "get_assignment", **who, task_id=task_id)
    if work["action"] == "wait":
        work = await witness.call(node, "get_assignment", **who, task_id=task_id, wait_s=5)
    witness.ticket("model", work["model"]["url"])
    data = pack_update(delta)
    sha256 = hashlib.sha256(data).hexdigest()
    where = {"task_id": task_id, "round": work["round"], "base_version": work["model"]["version"]}
    begun = await witness.call(node, "begin_upload", **who, **where, sha256=sha256, size=len(data))
    up = witness.ticket("upload", begun["url"])
    await witness.raw(http, "PUT", up, content=data[:-1])
    await witness.raw(http, "PUT", up + "x", content=data)
    await witness.raw(http, "GET", up)
    await witness.raw(http, "PUT", up, content=data)
    counts = {"num_examples": 10, "num_steps": 1}
    inline = base64.b64encode(data).decode()
    witness.secrets["inline update"] = inline[40:140]
    await witness.call(node, "submit_update", **who, **where, **counts, signature="wrong", inline_b64=inline[:60_000])
    await witness.call(
        node, "upload_chunk", **who, upload_id=begun["upload_id"], offset=7, data_b64=inline[:60_000] + "!"
    )
    signed = b64url(witness.key.sign(update_message(node_id=who["node_id"], sha256=sha256, **where, **counts)))
    done = await witness.call(
        node, "submit_update", **who, **where, **counts, signature=signed, upload_id=begun["upload_id"]
    )
    assert done["receipt"]["sha256"] == sha256
    await witness.raw(http, "PUT", up, content=data)


async def stray(witness: Witness, http: httpx2.AsyncClient, token: str) -> None:
    """A caller that puts its secrets everywhere."""
    for path in ("metrics", "mcp", "sse", "messages/", "nothing", "raw/blobs/x", f"{token}", f"raw/uploads/{token}"):
        await witness.raw(http, "POST", f"{path}?token={token}&access_token={OPERATOR}&session_id={token}", json={})
        await witness.raw(http, "POST", f"{path}?session_id={OPERATOR}", json={})
        wrong = {"Authorization": f"Bearer {token}x", "X-Token": OPERATOR}
        await witness.raw(http, "GET", f"{path}?authorization=Bearer%20{OPERATOR}", headers=wrong)
        await witness.raw(http, "GET", path, headers={"Host": "evil.example", "Cookie": OPERATOR})
        await witness.raw(http, "POST", path, content=b"\xff" + token.encode(), headers={"Authorization": token})
    for session in (OPERATOR, token):
        await witness.raw(
            http, "POST", "mcp", json={"jsonrpc": "2.0", "id": 1, "method": token}, headers={"Mcp-Session-Id": session}
        )
        modern = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": token}
        await witness.raw(http, "POST", "mcp", json={"jsonrpc": "2.0", "id": 1, "method": token}, headers=modern)


def task(*words: str) -> dict[str, Any]:
    name = "-".join(words)
    return {"spec": spec(name=name, cohort={"size": 1}, model={"id": "logistic"}), "request_id": f"task-{name}"}


def everything_kept(machine: Machine) -> Iterator[tuple[str, str]]:
    """Whatever the server wrote outside of its spool and its key."""
    yield "stderr", machine.said()
    with sqlite3.connect(machine.data_dir / "potluck.db") as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield table, str(database.execute(f"SELECT * FROM {table}").fetchall())
    for path in machine.data_dir.glob("*.json"):
        yield path.name, path.read_text()


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_no_secret_is_logged_answered_or_written_down(machine: Machine, log_format: str) -> None:
    machine.start_server("--log-level", "DEBUG", "--log-format", log_format)
    witness = Witness(machine.url)
    for transport, mode in (("http", "auto"), ("http", "legacy"), ("sse", "auto"), ("sse", "legacy")):
        await go_through_everything(witness, transport, mode)
    bearer = {"Authorization": f"Bearer {OPERATOR}"}
    async with httpx2.AsyncClient(headers=bearer) as http:
        metrics = (await http.get(f"{machine.url}/metrics")).text
    key = (machine.data_dir / "server.key").read_bytes()
    witness.secrets |= {"server key": key.hex(), "server key in base64": base64.b64encode(key).decode()}
    machine.stop_server()
    said = machine.said()
    assert "DEBUG" in said
    kept = dict(everything_kept(machine)) | {"metrics": metrics} | dict(enumerate(witness.refusals))  # type: ignore[operator]
    assert len(witness.refusals) > 100
    nodes = str(kept.pop("nodes"))  # it holds the challenge last answered, which proves nothing any more
    found = [
        (name, where) for name, secret in witness.secrets.items() for where, text in kept.items() if secret in text
    ]
    assert found == []
    assert not any(secret in nodes for name, secret in witness.secrets.items() if name != "challenge")
    assert repr(key)[2:-1] not in said
    assert "Traceback" not in "".join(witness.refusals)
    assert Path(__file__).parents[2].name not in "".join(witness.refusals), "no path of the server's"
