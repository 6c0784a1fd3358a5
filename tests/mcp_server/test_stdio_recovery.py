"""Whatever fails between a bridge and its server, the host gets an answer, and the next call is a fresh chance."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from federation.data_dir import write_address
from mcp_server.auth import Callers
from mcp_server.settings import Settings
from mcp_server.stdio import bridge
from mcp_server.stdio.headers import ModernHeaders
from mcp_server.stdio.local import _Outgoing, host_identity
from mcp_server.stdio.upstream import Gone, Upstream
from tests.mcp_server.stdio_host import bridged, wired
from tests.mcp_server.test_stdio_bridge import BOTH_ERAS, hosted, running

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_AGAIN_S", 0.05)


Exchange = Callable[..., AbstractAsyncContextManager[httpx2.Response]]


class Failing:
    """Stands before `Upstream.stream`: the next `times` posts whose body names `word` fail with `outcome`."""

    def __init__(self, outcome: Exception | httpx2.Response, *, times: int = 2) -> None:
        self.outcome = outcome
        self.word = ""
        self.times = times
        self.sessionless_gets = 0
        self._real: Exchange = Upstream.stream

    def arm(self, word: str) -> None:
        """From now on."""
        self.word = word

    @asynccontextmanager
    async def stream(
        self, upstream: Upstream, method: str, path: str, *, headers: Any = None, content: str | None = None
    ) -> AsyncGenerator[httpx2.Response]:
        """One exchange, or what happens instead."""
        self.sessionless_gets += method == "GET" and "mcp-session-id" not in headers
        if self.word and self.times and content is not None and f'"{self.word}"' in content:
            self.times -= 1
            if isinstance(self.outcome, Exception):
                raise self.outcome
            yield self.outcome
            return
        async with self._real(upstream, method, path, headers=headers, content=content) as response:
            yield response


def _method(failing: Failing) -> Exchange:
    def stream(upstream: Upstream, *args: Any, **kwargs: Any) -> AbstractAsyncContextManager[httpx2.Response]:
        return failing.stream(upstream, *args, **kwargs)

    return stream


def _refusal(status: int) -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"code": "busy", "problem": "not now.", "mend": "wait"}})


OUTCOMES = {
    "gone": Gone("no server runs there. Mend: start one"),
    "torn": httpx2.ReadError("the server died again"),
    "429": _refusal(429),
    "503": _refusal(503),
    "an error": httpx2.Response(200, json={"jsonrpc": "2.0", "id": "potluck-bridge-0", "error": {"message": "no"}}),
    "no session": httpx2.Response(200, json={"jsonrpc": "2.0", "id": "potluck-bridge-0", "result": {}}),
}


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        *(("potluck-bridge-0", outcome) for outcome in OUTCOMES),
        ("notifications/initialized", "torn"),
        ("potluck-bridge-1", "429"),
    ],
)
async def test_a_session_that_could_not_be_opened_again_is_opened_by_a_later_call(
    tmp_path: Path, outcome: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, failing = tmp_path / "data", Failing(OUTCOMES[outcome])
    monkeypatch.setattr(Upstream, "stream", _method(failing))
    async with running(data_dir) as first:
        uri = f"potluck://tasks/{await first.task()}"
        token = (await first.token("operator")).secret
    async with bridged(data_dir, token) as host:
        async with running(data_dir):
            await host.shake_hands()
            await host.answer("resources/subscribe", {"uri": uri}, modern=False)
        failing.arm(step)
        async with running(data_dir) as server:
            answers = [await host.answer("tools/list", modern=False) for _ in range(4)]
            assert failing.times == 0
            assert all("Mend:" in answer["error"]["message"] for answer in answers if "error" in answer)
            assert len(answers[-1]["result"]["tools"]) == 16
            await host.hear(lambda said: said.get("method") == "notifications/resources/updated")
            await server.federation.tasks.control(uri.rpartition("/")[2], "pause", version=None, actor="test")
            await host.hear(lambda said: said.get("method") == "notifications/resources/updated")
    assert failing.sessionless_gets == 0, "nobody asks for the notices of a session that is not there"


async def test_a_subscription_that_the_new_server_refuses_does_not_keep_the_session_shut(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir) as first:
        token = (await first.token("operator")).secret
    async with bridged(data_dir, token) as host:
        async with running(data_dir):
            await host.shake_hands()
            refused = await host.answer("resources/subscribe", {"uri": "potluck://nowhere"}, modern=False)
        async with running(data_dir):
            assert "result" in await host.answer("tools/list", modern=False), refused


LINES = {
    '{"jsonrpc":"2.0","id":[1],"method":"ping"}': None,
    '{"jsonrpc":"2.0","id":{},"method":"ping"}': None,
    '{"jsonrpc":"2.0","id":true,"method":"ping"}': None,
    '{"jsonrpc":"2.0","id":1.5,"method":"ping"}': None,
    '{"jsonrpc":"2.0","id":null,"method":"ping"}': None,
    '{"jsonrpc":"2.0","id":5,"method":7}': None,
    '{"jsonrpc":"2.0","id":5}': None,
    '{"jsonrpc":"2.0","id":"a","method":"resources/subscribe","params":[1]}': "a",
    '{"jsonrpc":"2.0","id":"a","method":"tools/call","params":"x"}': "a",
    '{"jsonrpc":"2.0","method":"notifications/cancelled","params":[1]}': None,
    "[" * 200_000: None,
}


@BOTH_ERAS
async def test_a_malformed_line_is_answered_with_an_error_and_the_next_one_is_served(
    tmp_path: Path, modern: bool
) -> None:
    async with hosted(tmp_path / "data", modern=modern) as (host, _):
        for line, request_id in LINES.items():
            host.say(line)
            refused = await host.hear(lambda said: "error" in said)
            assert refused["id"] == request_id, line
            assert "Mend:" in refused["error"]["message"]
            assert "result" in await host.answer("tools/list", modern=modern), line


@BOTH_ERAS
async def test_a_cancellation_of_nothing_cancels_nothing(tmp_path: Path, modern: bool) -> None:
    async with hosted(tmp_path / "data", modern=modern) as (host, _):
        for number in ("[1]", "{}", "null", '"never"'):
            asked = host.ask("tools/list", modern=modern)
            host.say(f'{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{number}}}}}')
            answer = await host.hear(lambda said, asked=asked: said.get("id") == asked)  # type: ignore[misc]
            assert "result" in answer, number


async def test_an_error_that_nobody_foresaw_is_still_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> dict[str, str]:
        raise ZeroDivisionError("a bug")

    async with hosted(tmp_path / "data", modern=True) as (host, _):
        with monkeypatch.context() as patch:
            patch.setattr(ModernHeaders, "of", broken)
            refused = await host.answer("tools/list", modern=True)
        assert refused["error"]["code"] == -32603
        assert "ZeroDivisionError('a bug')" in refused["error"]["message"]
        assert "result" in await host.answer("tools/list", modern=True)


@BOTH_ERAS
async def test_a_message_that_is_too_large_is_told_so(tmp_path: Path, modern: bool) -> None:
    async with hosted(tmp_path / "data", modern=modern) as (host, _):
        params = {"name": "get_task", "arguments": {"task_id": "x" * (5 << 20)}}
        # More than a pipe holds: the bridge has to run meanwhile.
        number = await asyncio.to_thread(host.ask, "tools/call", params, modern=modern)
        refused = await host.hear(lambda said: said.get("id") == number)
        assert "4 MiB" in refused["error"]["message"]
        assert "result" in await host.answer("tools/list", modern=modern)


async def test_a_certificate_that_is_not_there_is_named_until_it_is_back(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as server, bridged(tmp_path / "data", "any") as host:
        missing = tmp_path / "renewed-away.pem"
        write_address(tmp_path / "data", server.base, missing)
        refused = await host.answer("tools/list", modern=True)
        assert f"certificate {missing} cannot be read: No such file" in refused["error"]["message"]
        _certificate(missing)
        refused = await host.answer("tools/list", modern=True)
        assert "unauthorized" in refused["error"]["message"], "it came as far as the server"


async def test_a_server_whose_tls_fails_is_not_said_to_be_gone(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as server, bridged(tmp_path / "data", "any") as host:
        url = server.base.replace("http:", "https:")  # where plain HTTP is spoken
        write_address(tmp_path / "data", url, _certificate(tmp_path / "c.pem"))
        refused = await host.answer("tools/list", modern=True)
    assert f"the server at {url} runs, but TLS with it failed" in refused["error"]["message"]
    assert "no server runs" not in refused["error"]["message"]


async def test_the_bridge_dials_the_address_for_this_machine(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as server:
        write_address(tmp_path / "data", "http://a-name-that-leads-nowhere.invalid:1", local=server.base)
        async with bridged(tmp_path / "data", (await server.token("operator")).secret) as host:
            assert "result" in await host.answer("tools/list", modern=True)


async def test_no_token_is_sent_to_an_address_once_its_server_is_gone(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    async with running(tmp_path / "data") as server:
        token, port = (await server.token("operator")).secret, int(server.base.rpartition(":")[2])
        base = server.base
        bridge = bridged(tmp_path / "data", token)
        host = await bridge.__aenter__()
        assert "result" in await host.answer("tools/list", modern=True)
    write_address(tmp_path / "data", base)  # which a killed server would have left
    async with await asyncio.start_server(stranger, "127.0.0.1", port):
        gone = await host.answer("tools/list", modern=True)
        await bridge.__aexit__(None, None, None)
    assert "no server runs on" in gone["error"]["message"]
    assert heard == []


async def test_a_local_host_hears_no_notices_once_its_token_is_revoked(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as server, wired() as (host, wire):
        token = await server.token("viewer")
        settings = Settings(data_dir=tmp_path / "data")
        who = await host_identity(Callers(settings, server.federation.tokens), settings, token.secret)
        outgoing = _Outgoing(wire, who)
        notice = {"jsonrpc": "2.0", "method": "notifications/resources/updated"}
        await outgoing.write(json.dumps(notice | {"params": {"uri": "before"}}))
        await server.federation.tokens.revoke(token.token_id, actor="test")
        await outgoing.write(json.dumps(notice | {"params": {"uri": "after"}}))
        await outgoing.write('{"jsonrpc": "2.0", "id": 1, "result": {}}')
        said = [await host.hear(lambda _: True) for _ in range(2)]
    assert [message.get("params", {}).get("uri", "the answer") for message in said] == ["before", "the answer"]


def _certificate(path: Path) -> Path:
    """A certificate that signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pot.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path
