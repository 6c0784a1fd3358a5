"""HTTP as nobody means it: the raw lane, the framing of JSON-RPC in both eras, and the older transport."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.fuzz.cases import draw, junk, mutated, nested
from tests.fuzz.surface import answers_in, check_status, check_text, check_unchanged, outcome_of
from tests.mcp_server.bare import Answer, Bare, bare
from tests.mcp_server.raw_node import RawNode, cohort, packed
from tests.mcp_server.rpc import META, VERSION
from tests.mcp_server.running import Served

Request = tuple[str, str, list[str], bytes]
"""Method, path, header lines, body."""

_METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "M-SEARCH", "get", "X" * 30]
_RANGES = [
    "bytes=0-0",
    "bytes=-1",
    "bytes=5-2",
    "bytes=0-0,2-3",
    "bytes=a-b",
    "bytes=" + "0-1," * 900,
    "bytes=-",
    "lines=1-2",
]
_RANGES += [f"bytes={10**30}-", "bytes=0-99999999999999999999", "bytes=--1", "bytes=0-1,0-2,0-3"]


@dataclass
class Wire:
    """Requests by hand, one connection each."""

    name: str
    served: Served
    strategy: SearchStrategy[Request]
    secret: str | None = None
    touches: frozenset[str] = frozenset()
    writes: bool = False

    def cases(self, count: int, seed: int) -> list[Request]:
        """Requests."""
        return draw(self.strategy, count, seed)

    async def throw(self, case: Request) -> str:
        """Sends one, and reads what comes until the server has nothing more to say."""
        method, path, lines, body = case
        before = await self.served.snapshot()
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.served.host}", *lines]
        if self.secret is not None:
            head.append(f"Authorization: Bearer {self.secret}")
        async with bare(self.served.base) as line:
            try:
                await line.send("\r\n".join([*head, "", ""]).encode("utf-8", "surrogatepass"), body)
                answer = await _first(line, method)
            except (ConnectionError, OSError):
                return "closed"
        check_status(answer.status)
        check_text(self.served, answer.body.decode("utf-8", "replace"))
        outcome = f"{answer.status}"
        if answer.headers.get("content-type", "").startswith(("application/json", "text/event-stream")):
            for found in answers_in(answer.body.decode(), answer.headers["content-type"]):
                outcome += f" {outcome_of(found)}" if "jsonrpc" in found else ""
        if answer.status >= 400 or not self.writes:
            check_unchanged(before, await self.served.snapshot(), touches=self.touches)
        return outcome


async def _first(line: Bare, method: str) -> Answer:
    answer = await line.answer() if method != "HEAD" else await _headless(line)
    while 100 <= answer.status < 200:
        answer = await line.answer()
    return answer


async def _headless(line: Bare) -> Answer:
    async with asyncio.timeout(20):
        text = (await line.reader.read(1 << 16)).decode("latin-1")
    if not text:
        raise ConnectionError("nothing came")
    return Answer(int(text.split()[1]), {}, b"")


async def raw_lane(served: Served) -> Wire:
    """Tickets good, committed, forged, of the other lane; lengths that lie; chunks; ranges."""
    one, other = await cohort(served)
    data, done = packed(value=1.5), packed(value=2.5)
    up, committed = (await one.begin(data))["url"], (await other.begin(done))["url"]
    await other.put(committed, done)
    down = (await served.state_of(one.task_id))["model"]["url"]
    good = [up, up, committed, down, down]
    bad = [up.replace("uploads", "blobs"), down.replace("blobs", "uploads"), up + "x", up[:-1], "raw/uploads/"]
    bad += ["raw/blobs/../../server.key", "raw/uploads/%2e%2e%2f", "raw/blobs/%00", "raw/uploads/\x01"]
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (data[:100], data[100:])) + b"0\r\n\r\n"
    plain = st.sampled_from([data, data, data[:-1], data + b"x", done, b""])
    methods = st.sampled_from(["PUT"] * 5 + ["GET"] * 3 + _METHODS)
    paths = st.sampled_from(good * 3 + bad).map("/{}".format)
    measured = st.tuples(methods, paths, _headers(), plain).map(_measured)
    in_chunks = st.tuples(
        st.just("PUT"),
        st.sampled_from([f"/{up}", f"/{committed}"]),
        st.just(["Transfer-Encoding: chunked"]),
        st.one_of(st.sampled_from([chunked, chunked[:-5], b"ffffffffffffffff\r\n", b"-1\r\n"]), mutated(chunked)),
    )
    lying = st.tuples(methods, paths, _lies(len(data)), plain | st.binary(max_size=50))
    reading = st.tuples(st.just("GET"), st.just(f"/{down}"), _headers(), st.just(b""))
    strategy = st.one_of(measured, in_chunks, lying, reading)
    return Wire("raw lane", served, strategy, touches=frozenset({"uploads"}), writes=True)


def _headers() -> SearchStrategy[list[str]]:
    codings = ["*", '"x"', "W/", ",,,,", '"' + "a" * 4_000]
    others = ["Content-Encoding: gzip", "If-Range: x", "Connection: close", "Upgrade: h2c", "Expect: 100-continue"]
    letters = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=9)
    header = st.one_of(
        st.sampled_from(_RANGES).map("Range: {}".format),
        st.sampled_from(codings).map("If-None-Match: {}".format),
        st.sampled_from(others),
        letters.map("X-A: {}".format),
    )
    return st.lists(header, max_size=2)


def _lies(size: int) -> SearchStrategy[list[str]]:
    lengths = [size - 1, size + 1, 0, 1, 2**63, 10**30, -1, "1e3", "0x10", "5, 5", ""]
    codings = ["identity", "gzip, chunked", "chunked, chunked", "xchunked", "chunked"]
    length = st.sampled_from(lengths).map("Content-Length: {}".format)
    coding = st.sampled_from(codings).map("Transfer-Encoding: {}".format)
    return (
        st.lists(length, min_size=1, max_size=2) | st.tuples(length, coding).map(list) | coding.map(lambda one: [one])
    )


def _messages(node: RawNode) -> SearchStrategy[Any]:
    ids = st.one_of(st.sampled_from([1, "a", 0, -1, 1.5, True, None, [], {}, 10**30, "é" * 500, "\ud800"]), junk())
    methods = st.sampled_from(
        [
            *("tools/list", "tools/call", "resources/read", "resources/list", "prompts/get", "completion/complete"),
            *("initialize", "ping", "server/discover", "notifications/initialized", "notifications/cancelled"),
            *(
                "resources/subscribe",
                "logging/setLevel",
                "sampling/createMessage",
                "",
                "é",
                "tools/call/../list",
                "a" * 5_000,
            ),
        ]
    )
    call = {"name": "get_task", "arguments": {"task_id": node.task_id}}
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    uris = [
        "potluck://tasks",
        f"potluck://tasks/{node.task_id}",
        "potluck://blobs/x/y",
        "file:///etc/passwd",
        "",
        "::",
        "potluck://",
    ]
    params = st.one_of(
        st.sampled_from([call, client, {}, {"name": "list_tasks"}, {"name": None}, {"requestId": 1}, {"_meta": META}]),
        st.sampled_from(uris).map(lambda uri: {"uri": uri}),
        st.fixed_dictionaries({"ref": junk(), "argument": junk()}),
        junk(),
    )
    version = st.just("2.0")
    likely = st.fixed_dictionaries(
        {"jsonrpc": version, "method": methods, "id": st.integers(0, 9)}, optional={"params": params}
    )
    odd = st.fixed_dictionaries(
        {"jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0", 2, None]), "method": methods},
        optional={"id": ids, "params": params, "result": junk(), "error": junk(), "extra": junk()},
    )
    notification = st.fixed_dictionaries({"jsonrpc": version, "method": methods}, optional={"params": params})
    return st.one_of(likely, likely, odd, notification)


def _bodies(node: RawNode) -> SearchStrategy[bytes]:
    one = _messages(node)
    plain = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}).encode()
    odd = [
        *(b"", b"null", b"[]", b"{}", b"[[]]", b'"x"', b"\xff\xfe{}", b"\xef\xbb\xbf{}", b'{"jsonrpc":"2.0","id":1'),
        *(b'{"id":1,"id":2,"jsonrpc":"2.0","method":"tools/list"}', b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}'),
        *(
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"1" * 100_000,
            json.dumps(nested(900)).encode(),
            b'"' + b"\\ud800" * 9 + b'"',
        ),
    ]
    return st.one_of(
        one.map(lambda message: json.dumps(message).encode()),
        one.map(lambda message: json.dumps(message).encode()),
        st.lists(one, max_size=3).map(lambda messages: json.dumps(messages).encode()),
        st.just(plain).flatmap(mutated),
        st.sampled_from(odd),
    )


_ACCEPT = "Accept: application/json, text/event-stream"
_ERAS = [
    ["MCP-Protocol-Version: " + VERSION],
    ["MCP-Protocol-Version: 2025-06-18"],
    [],
    ["MCP-Protocol-Version: 1999-01-01"],
    ["MCP-Protocol-Version: \x01"],
    ["Mcp-Session-Id: " + "0" * 32],
    ["Mcp-Session-Id: é"],
    ["Last-Event-ID: 7", "Mcp-Session-Id: x"],
]


async def framing(served: Served) -> Wire:
    """What is posted to /mcp, in either era and in none."""
    node, _ = await cohort(served)
    json_type = ["Content-Type: application/json"]
    kinds = st.sampled_from([json_type] * 9 + [[], ["Content-Type: text/plain"], ["Content-Type: a;b=" + "c" * 99]])
    accepts = st.sampled_from([[_ACCEPT]] * 9 + [[], ["Accept: */*"], ["Accept: ,;q=x"]])
    named = [["Mcp-Method: tools/list"], ["Mcp-Method: tools/call", "Mcp-Name: x"], ["Mcp-Name: " + "n" * 900], []]
    groups = st.tuples(st.sampled_from(_ERAS), st.sampled_from(named), kinds, accepts)
    odd = st.tuples(
        st.sampled_from(["POST"] * 12 + ["PUT", "DELETE", "PATCH", "OPTIONS"]),
        st.sampled_from(["/mcp"] * 8 + ["/mcp/", "/mcp?x=%00"]),
        groups.map(lambda found: [line for some in found for line in some]),
        _bodies(node),
    )
    good: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}},
        {"jsonrpc": "2.0", "id": "é", "method": "tools/call", "params": {"name": "list_tasks", "arguments": {}}},
    ]
    strategy = st.one_of(odd, odd, _messages(node).map(_modern), st.sampled_from(good).map(_modern))
    return Wire("JSON-RPC framing", served, strategy.map(_measured), secret=(await served.token("viewer")).secret)


def _modern(message: dict[str, Any]) -> Request:
    """A message of the modern era whose headers fit, so that it is looked at."""
    params, method = message.get("params"), str(message["method"])
    if isinstance(params, dict):
        message = message | {"params": params | {"_meta": META}}
    name = (params.get("name") or params.get("uri") or "x") if isinstance(params, dict) else "x"
    lines = ["Content-Type: application/json", _ACCEPT, f"MCP-Protocol-Version: {VERSION}"]
    fit = {
        key: str(value).encode("ascii", "replace").decode()[:200] for key, value in (("Method", method), ("Name", name))
    }
    lines += [f"Mcp-{key}: {_line(value)}" for key, value in fit.items()]
    return "POST", "/mcp", lines, json.dumps(message).encode()


def _line(value: Any) -> str:
    text = str(value).encode("ascii", "replace").decode()[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _measured(request: Request) -> Request:
    method, path, lines, body = request
    return method, path, [*lines, f"Content-Length: {len(body)}"], body


class OlderTransport:
    """Bodies and session ids at /messages/, to a stream that is open, and to none."""

    name = "SSE"

    def __init__(self, served: Served, node: RawNode, secret: str) -> None:
        self.served = served
        self._secret = secret
        ids = st.sampled_from(["OPEN"] * 6 + ["0" * 32, "", "x", "é", "%00", "0" * 4_000, "' OR 1=1"])
        self._strategy = st.tuples(ids, _bodies(node))

    def cases(self, count: int, seed: int) -> list[tuple[str, bytes]]:
        """Session ids and bodies."""
        return draw(self._strategy, count, seed)

    async def throw(self, case: tuple[str, bytes]) -> str:
        """Opens a stream, posts, and reads what the stream says next, if anything."""
        before = await self.served.snapshot()
        session, body = case
        bearer = {"Authorization": f"Bearer {self._secret}"}
        async with self.served.http.stream("GET", "/sse", headers=bearer) as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if line.startswith("data:"):
                    break
            path = line.removeprefix("data:").strip()
            if session != "OPEN":
                path = f"/messages/?session_id={session}"
            kind = {"Content-Type": "application/json"}
            answer = await self.served.http.post(path, content=body, headers=bearer | kind)
            check_status(answer.status_code)
            check_text(self.served, answer.text)
            outcome = str(answer.status_code)
            if answer.status_code == 202:
                ping = b'{"jsonrpc":"2.0","id":"last","method":"ping"}'
                await self.served.http.post(path, content=ping, headers=bearer | kind)
                outcome += await self._heard(lines)
        check_unchanged(before, await self.served.snapshot())
        return outcome

    async def _heard(self, lines: Any) -> str:
        said = ""
        async with asyncio.timeout(20):
            async for line in lines:
                if not line.startswith("data: {"):
                    continue
                check_text(self.served, line)
                message = json.loads(line.removeprefix("data: "))
                if message.get("id") == "last":
                    return said
                if "method" not in message:
                    said = f" {outcome_of(message)}"
        return " stream ended"


async def older_transport(served: Served) -> OlderTransport:
    """With a viewer's token."""
    node, _ = await cohort(served)
    return OlderTransport(served, node, (await served.token("viewer")).secret)
