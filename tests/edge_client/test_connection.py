from __future__ import annotations

import itertools
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, INVALID_PARAMS

from edge_client.answers import LATER, Lost, meaning, meaning_of_status, refusal_in
from edge_client.connection import Connection, delays
from edge_client.endpoint import Endpoint
from federation.errors import ErrorCode, Refused
from tests.edge_client.fake_server import FakeServer

pytestmark = pytest.mark.anyio


class Flaky(FakeServer):
    """Refuses the first connections, as a server does that is not up yet."""

    down = 0

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Client]:
        if self.down:
            self.down -= 1
            raise httpx2.ConnectError("connection refused")
        async with super().connect() as client:
            yield client


async def test_a_call_waits_with_growing_pauses_until_the_server_is_up() -> None:
    server, paused, said = Flaky(), [], []
    server.down = 3

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    connection = Connection(
        server,
        sleep=sleep,
        pauses=lambda: delays(first_s=1, jitter=lambda: 0),
        on_lost=lambda why, pause: said.append((why, pause)),
        on_back=lambda: said.append("back"),
    )
    async with connection:
        answer = await connection.call("get_assignment", {"task_id": "t"})
    assert answer["action"] == "train"
    assert paused == [1, 2, 4]
    assert said == [("connection refused", 1), ("connection refused", 2), ("connection refused", 4), "back"]


async def test_a_call_whose_connection_breaks_is_repeated_on_a_new_one() -> None:
    broken = itertools.count()

    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if next(broken) == 0:
            raise MCPError(CONNECTION_CLOSED, "Connection closed")

    server = FakeServer(answer=answer)

    async def sleep(seconds: float) -> None:
        return None

    async with Connection(server, sleep=sleep) as connection:
        assert (await connection.call("report_progress", {}))["state"] == "continue"
    assert server.connects == 2
    assert [tool for tool, _ in server.calls] == ["report_progress"] * 2


async def test_one_connection_serves_all_calls_while_it_lasts() -> None:
    server = FakeServer()
    async with Connection(server) as connection:
        for _ in range(3):
            await connection.call("report_progress", {})
    assert server.connects == 1


async def test_without_patience_a_server_out_of_reach_is_an_error_at_once() -> None:
    server = Flaky()
    server.down = 1
    async with Connection(server, patience_s=0) as connection:
        with pytest.raises(Lost, match="connection refused"):
            await connection.call("report_progress", {})


async def test_what_is_said_but_once_is_lost_at_once_however_patient_the_connection() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server = Flaky()
    server.down = 1
    async with Connection(server, sleep=sleep) as connection:
        with pytest.raises(Lost):
            await connection.call("report_progress", {}, once=True)
    assert not slept


async def test_a_refusal_comes_with_the_servers_code_problem_and_mend() -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> None:
        raise Refused(ErrorCode.PARTITION_TAKEN, "part 2 is taken.", "take part 3")

    async with Connection(FakeServer(answer=answer)) as connection:
        with pytest.raises(Refused) as caught:
            await connection.call("get_assignment", {})
    assert (caught.value.code, caught.value.problem) == (ErrorCode.PARTITION_TAKEN, "part 2 is taken.")
    assert caught.value.mend == "take part 3"


async def test_a_tool_that_is_not_there_is_refused_and_not_asked_for_again() -> None:
    server = FakeServer()
    async with Connection(server) as connection:
        with pytest.raises(Refused, match="nonsense"):
            await connection.call("nonsense", {})
    assert server.connects == 1


def test_pauses_double_up_to_a_cap_and_lose_up_to_half() -> None:
    assert list(itertools.islice(delays(1, 5, jitter=lambda: 0), 5)) == [1, 2, 4, 5, 5]
    assert list(itertools.islice(delays(1, 5, jitter=lambda: 1), 3)) == [0.5, 1, 2]


def test_an_error_status_says_what_it_means() -> None:
    stand_in = MCPError(INTERNAL_ERROR, "Server returned an error response")

    def judged(status: int, *, known: bool = False) -> Exception:
        return meaning(stand_in, status=status, known=known)

    assert "--token" in str(judged(401))
    assert "--allow-host" in str(judged(421))
    assert isinstance(judged(404), Refused)
    assert isinstance(judged(404, known=True), Lost)
    assert isinstance(judged(503), Lost)
    assert isinstance(judged(400), Refused)
    assert judged(401).code is ErrorCode.UNAUTHORIZED  # type: ignore[attr-defined]
    for status in (408, 425, 429, 502, 503, 504):
        assert isinstance(judged(status), Lost)


@pytest.mark.parametrize("status", [408, 425, 502, 503, 504])
def test_a_status_that_passes_is_believed_before_the_body(status: int) -> None:
    said = Refused(ErrorCode.BAD_UPDATE, "it is bad.", "train again")
    meant = meaning_of_status(status, said=said)
    assert isinstance(meant, Lost) or meant.code in LATER


def test_a_refusal_keeps_the_servers_word_on_when_to_come_again() -> None:
    error = {"code": "rate_limited", "problem": "too many.", "mend": "wait", "retry_after_s": 3.5}
    assert getattr(refusal_in({"error": error}), "retry_after_s", None) == 3.5
    assert getattr(refusal_in({"error": error | {"retry_after_s": "soon"}}), "retry_after_s", 0) is None


def test_a_certificate_that_does_not_verify_is_not_tried_again() -> None:
    error = httpx2.ConnectError("failed")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    assert "--ca-file" in str(meaning(error, status=None, known=False))


def test_an_error_of_the_protocol_with_an_error_status_is_no_lost_connection() -> None:
    error = MCPError(INVALID_PARAMS, "Unknown tool")
    assert isinstance(meaning(error, status=400, known=True), Refused)


def test_a_group_of_errors_is_lost_only_if_all_of_it_is() -> None:
    lost, no = httpx2.ReadError("reset"), Refused(ErrorCode.FENCED, "another process took over.", "stop it")
    assert isinstance(meaning(ExceptionGroup("", [lost]), status=None, known=True), Lost)
    assert meaning(ExceptionGroup("", [lost, no]), status=None, known=True) is no


def test_a_newer_servers_refusal_keeps_its_words() -> None:
    refused = refusal_in({"error": {"code": "too_warm", "problem": "It is hot.", "mend": "wait"}})
    assert refused is not None
    assert "too_warm: It is hot. Mend: wait" in str(refused)
    assert refusal_in({"error": "invalid_token"}) is None
    assert refusal_in(None) is None


@pytest.mark.parametrize("url", ["http://h:7860", "http://h:7860/", "http://h:7860/mcp", "http://h:7860/sse/"])
def test_the_address_may_be_given_with_or_without_the_transports_path(url: str) -> None:
    assert Endpoint(url).url == "http://h:7860"


def test_what_is_no_address_is_refused_with_an_example() -> None:
    with pytest.raises(Refused, match=r"http://127\.0\.0\.1:7860"):
        Endpoint("localhost:7860")


def test_the_token_does_not_show_when_an_endpoint_is_printed() -> None:
    assert "secret" not in repr(Endpoint("http://h", token="secret"))
