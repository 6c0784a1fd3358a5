"""Names and origins that the server answers to, and how much it lets anyone say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest

from tests.mcp_server.raw_node import RawNode, cohort, packed
from tests.mcp_server.running import Served, serving
from tests.mcp_server.stdio_host import MODERN

pytestmark = pytest.mark.anyio
PATHS = ["/mcp", "/sse", "/messages/", "/healthz", "/metrics", "/raw/blobs/x", "/raw/uploads/x", "/nothing"]
PAGE = "https://a.example"


@pytest.fixture(scope="module")
async def proxied(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    """Behind a proxy that serves it as https://pot.example/fed/, for the pages of https://a.example."""
    async with serving(
        tmp_path_factory.mktemp("proxied"),
        base_path="/fed",
        allow_host=["pot.example"],
        allow_origin=[PAGE],
        anonymous_role="none",
    ) as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "0.0.0.0", "localhost.evil.example:80"])
async def test_a_foreign_host_is_421_on_every_path(served: Served, path: str, host: str) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        answer = await served.http.request(method, path, headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]["code"]) == (421, "forbidden")
    assert "--allow-host" in answer.json()["error"]["mend"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:7860", "LOCALHOST", "[::1]", "[::1]:80"])
async def test_its_own_names_are_answered_whatever_the_port(served: Served, host: str) -> None:
    assert (await served.http.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["[::1].evil.example", "localhost:x@evil.example"])
async def test_a_foreign_host_that_begins_like_its_own_is_421(served: Served, host: str) -> None:
    assert (await served.http.get("/healthz", headers={"Host": host})).status_code == 421


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://127.0.0.1.evil.example", "file://", ""])
async def test_a_foreign_origin_is_403_on_every_path(served: Served, path: str, origin: str) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        answer = await served.http.request(method, path, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://[", "http://[::1].evil.example", "http://localhost:1@evil.example"])
async def test_an_origin_that_is_malformed_is_403(served: Served, origin: str) -> None:
    assert (await served.http.get("/healthz", headers={"Origin": origin})).status_code == 403


async def test_a_page_that_is_allowed_may_call_with_a_token(proxied: Served) -> None:
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version,mcp-method,mcp-name",
    }
    for path, method in (("/mcp", "POST"), ("/raw/uploads/x", "PUT"), ("/raw/blobs/x", "GET")):
        answer = await proxied.http.options(path, headers=headers | {"Access-Control-Request-Method": method})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert method in answer.headers["access-control-allow-methods"]
    refused = await proxied.http.post("/mcp", headers={"Origin": PAGE})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]


async def test_a_page_of_the_same_host_is_no_page_that_is_allowed(served: Served) -> None:
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    answer = await served.http.options("/mcp", headers=headers)
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("written", ["https://a.example/", "https://A.example"])
async def test_an_origin_may_be_allowed_as_people_write_it(
    tmp_path_factory: pytest.TempPathFactory, written: str
) -> None:
    async with serving(tmp_path_factory.mktemp("written"), allow_origin=[written]) as running:
        headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        assert (await running.http.options("/mcp", headers=headers)).status_code == 200


async def test_a_host_name_that_is_allowed_is_answered_and_signed_for(proxied: Served) -> None:
    assert (await proxied.http.get("/metrics", headers={"Host": "pot.example"})).status_code == 401
    node = RawNode(proxied, proxied.rpc((await proxied.token("node")).secret))
    await node.shake_hands(audience="pot.example")


async def test_health_needs_no_token_behind_a_prefix(proxied: Served) -> None:
    assert (await proxied.http.get("/healthz")).status_code == 200


async def test_signed_urls_need_no_token_behind_a_prefix(proxied: Served) -> None:
    node, _ = await cohort(proxied)
    data = packed()
    await node.put((await node.begin(data))["url"], data)
    assert (await proxied.http.get("/" + node.assignment["model"]["url"])).status_code == 200


async def test_tools_answer_behind_a_prefix(proxied: Served) -> None:
    rpc = proxied.rpc((await proxied.token("viewer")).secret)
    assert (await rpc.call("list_tasks")) == {"tasks": []} or (await rpc.call("list_tasks"))["tasks"]


@pytest.mark.parametrize("prefix", ["", "/fed"], ids=["taken off", "passed on"])
async def test_a_proxy_may_take_the_prefix_off_or_pass_it_on(proxied: Served, prefix: str) -> None:
    assert (await proxied.http.get(f"{prefix}/healthz")).json() == {"status": "ok"}
    assert (await proxied.http.get(f"{prefix}/metrics")).status_code == 401
    headers = {"Authorization": f"Bearer {(await proxied.token('viewer')).secret}"}
    async with proxied.http.stream("GET", f"{prefix}/sse", headers=headers) as stream:
        lines = stream.aiter_lines()
        while not (line := await anext(lines)).startswith("data:"):
            pass
    assert line.removeprefix("data:").strip().startswith("/fed/messages/?session_id=")
    slash = await proxied.http.post(f"{prefix}/mcp/", headers=headers)
    assert (slash.status_code, slash.headers["location"]) == (307, f"{proxied.base}/fed/mcp")


@pytest.mark.parametrize("path", ["/fedora/healthz", "/fed/fed/healthz", "/nothing"])
async def test_what_only_looks_like_the_prefix_leads_nowhere(proxied: Served, path: str) -> None:
    headers = {"Authorization": f"Bearer {(await proxied.token('viewer')).secret}"}
    assert (await proxied.http.get(path, headers=headers)).status_code == 404


async def test_blanks_around_a_header_are_no_part_of_it(served: Served) -> None:
    """Over a bare socket, since clients take them off themselves."""
    params = {"name": "list_tasks", "arguments": {}, "_meta": MODERN}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    request = (
        f"POST /mcp HTTP/1.1\r\nHost: {served.host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        f"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name:   list_tasks \t\r\n\r\n{body}"
    )
    host, _, port = served.host.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", ["/mcp", "/messages/?session_id=" + "0" * 32])
async def test_a_body_over_4_mib_is_413(served: Served, path: str) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if path == "/mcp":
        answer = await served.http.post(path, content=b"[" + b" " * (4 << 20), headers=headers)
        assert answer.status_code == 413
        answer = await served.rpc().post("tools/call", {"name": "list_tasks", "arguments": {"x": "x" * (4 << 20)}})
        assert answer.status_code == 413
        return
    async with served.http.stream("GET", "/sse") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                break
        answer = await served.http.post(line[5:].strip(), content=b" " * ((4 << 20) + 1), headers=headers)
        assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"jsonrpc":"1.0"}', b"[" * 100_000])
async def test_what_is_no_request_is_a_client_error_and_nothing_worse(served: Served, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    for version in ({}, {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}):
        answer = await served.http.post("/mcp", content=body, headers=headers | version)
        assert 400 <= answer.status_code < 500
