"""How often a caller may ask: by token and by address, wherever the address comes from, and told when to come again."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from federation.errors import ErrorCode, Refused
from mcp_server.addresses import Proxies, source_of
from mcp_server.doors import Doors, room_for
from mcp_server.rates import rates_of
from mcp_server.settings import Settings
from tests.mcp_server.bare import bare, head
from tests.mcp_server.raw_node import RawNode, cohort, enrolled, packed
from tests.mcp_server.refusals import refused
from tests.mcp_server.rpc import Refusal
from tests.mcp_server.running import Served, serving
from tools.rate import Buckets, RateLimit

pytestmark = pytest.mark.anyio
WRONG = {"Authorization": "Bearer pl_wrong_token"}
JSON = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_at_once_and_fills_with_time() -> None:
    clock = Hand()
    limit = RateLimit("calls", 60, burst=3, clock=clock)
    for _ in range(3):
        limit.take("ann", "")
    with pytest.raises(Refused, match="60 calls a minute") as caught:
        limit.take("ann", "")
    assert (caught.value.code, caught.value.retry_after_s) == (ErrorCode.RATE_LIMITED, 1.0)
    limit.take("bob", "")
    clock.now += 1
    limit.take("ann", "")


def test_a_refused_call_costs_nothing() -> None:
    clock = Hand()
    limit = RateLimit("calls", 60, burst=1, clock=clock)
    limit.take("ann", "")
    for _ in range(50):
        with pytest.raises(Refused):
            limit.take("ann", "")
    clock.now += 1
    limit.take("ann", "")


def test_callers_behind_one_address_share_its_limit() -> None:
    limit = RateLimit("calls", 60, burst=2, address_factor=2, clock=Hand())
    for caller in ("ann", "ann", "bob", "bob"):
        limit.take(caller, "192.0.2.1")
    with pytest.raises(Refused):
        limit.take("eve", "192.0.2.1")
    limit.take("eve", "192.0.2.2")


def test_callers_without_a_token_are_told_apart_by_their_address() -> None:
    limit = RateLimit("calls", 60, burst=1, clock=Hand())
    limit.take("anonymous", "192.0.2.1")
    limit.take("anonymous", "192.0.2.2")
    with pytest.raises(Refused):
        limit.take("anonymous", "192.0.2.1")


def test_what_costs_more_than_a_bucket_holds_passes_once_and_is_paid_off() -> None:
    clock = Hand()
    limit = RateLimit("MiB", 60, clock=clock)
    limit.take("ann", "", cost=300)
    with pytest.raises(Refused) as caught:
        limit.take("ann", "", cost=1)
    assert caught.value.retry_after_s == 241
    clock.now += 241
    limit.take("ann", "", cost=1)


def test_a_limit_of_nothing_is_no_limit() -> None:
    limit = RateLimit("calls", 0)
    for _ in range(1_000):
        limit.take("ann", "192.0.2.1")


def test_a_million_addresses_do_not_fill_the_memory() -> None:
    buckets = Buckets(per_minute=60, burst=1, clock=Hand())
    for number in range(30_000):
        buckets.take(str(number))
    assert len(buckets) == 10_000
    assert buckets.wait("29999") > 0
    assert buckets.wait("0") == 0, "the least recent are forgotten, and begin with a full bucket"


def test_two_thousand_nodes_behind_one_address_can_start_at_once_and_deliver_a_round_by_default() -> None:
    rates, address = rates_of(Settings()), "192.0.2.1"
    for _ in range(2_000):
        rates.handshakes.take("token", address)
        rates.handshakes.take("token", address)
        rates.sessions.take("token", address)
        rates.uploads.take("token", address)
        rates.uploads.take("token", address)
        rates.upload_mib.take("token", address, 1.0)
    doors = Doors(Settings().max_connections, Settings().max_connections_per_address)
    assert all(doors.enter(address, shared=False) is None for _ in range(4_000)), "a stream and a POST for each"


def test_addresses_of_one_line_are_one_address() -> None:
    assert source_of("192.0.2.1") == source_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1") != source_of("2001:db8:0:1::1")
    assert source_of("evil, 127.0.0.1") == "unknown"


def test_proxies_are_named_by_address_or_network_and_by_nothing_else() -> None:
    proxies = Proxies(Settings(trusted_proxies=["10.0.0.0/8", "192.0.2.1"]).trusted_proxies)
    assert "10.1.2.3" in proxies
    assert "192.0.2.1" in proxies
    assert "::ffff:10.1.2.3" in proxies
    assert "11.0.0.1" not in proxies
    assert "localhost" not in proxies
    for everyone in ("*", "proxy.example"):
        with pytest.raises(ValidationError):
            Settings(trusted_proxies=[everyone])


def test_proxies_come_from_the_environment_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POTLUCK_TRUSTED_PROXIES", "10.0.0.1, 10.0.1.0/24")
    assert Settings().trusted_proxies == ["10.0.0.1/32", "10.0.1.0/24"]


def test_the_limit_of_open_files_is_raised_and_respected() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        assert room_for(100) == 100
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
        assert room_for(1 << 40) <= before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_connections_that_end_make_room() -> None:
    doors = Doors(3, 2)
    assert [doors.enter("a", shared=False) is None for _ in range(3)] == [True, True, False]
    assert doors.enter("b", shared=False) is None
    assert "all that it takes" in str(doors.enter("c", shared=False))
    doors.leave("a")
    assert doors.enter("c", shared=False) is None
    for address in ("a", "b", "c"):
        doors.leave(address)
    assert (doors.open, dict(doors.by_address)) == (0, {})


async def test_handshakes_are_rationed_and_the_refusal_says_when_to_come_again(tmp_path: Path) -> None:
    async with serving(tmp_path, handshakes_per_minute=3) as served:
        node = RawNode(served, served.rpc((await served.token("node")).secret))
        await node.shake_hands()
        await node.hello()
        with pytest.raises(Refusal) as caught:
            await node.hello()
        assert caught.value.code == "rate_limited"
        result = await node.rpc.ask("tools/call", {"name": "handshake", "arguments": handshake_of(node)})
        assert 0 < result["structuredContent"]["error"]["retry_after_s"] <= 20


def handshake_of(node: RawNode) -> dict[str, Any]:
    capabilities = {"runtime": "test", "device": "cpu"}
    return {"public_key": node.public_key, "capabilities": capabilities, "audience": node.served.host}


async def test_another_token_at_the_same_address_does_not_get_around_the_limit(tmp_path: Path) -> None:
    async with serving(tmp_path, handshakes_per_minute=2) as served:
        await enrolled(served)
        async with refused(served, "rate_limited", touches={"tokens", "events"}):
            await enrolled(served)


async def test_announcements_and_puts_are_rationed_together(tmp_path: Path) -> None:
    async with serving(tmp_path, uploads_per_minute=3) as served:
        (node,) = await cohort(served, 1)
        data = packed(value=1.0)
        url = (await node.begin(data))["url"]
        await node.begin(data)
        await node.put(url, data)
        async with refused(served, "rate_limited", status=429):
            await node.put(url, data)
        answer = await served.http.put(f"/{url}", content=data)
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        async with refused(served, "rate_limited"):
            await node.begin(data)


async def test_bytes_are_rationed_on_both_lanes(tmp_path: Path) -> None:
    async with serving(tmp_path, upload_mib_per_minute=0.004) as served:
        (node,) = await cohort(served, 1)
        data = packed(value=1.0)  # 2.7 KiB of 4.1
        begun = await node.begin(data)
        await node.put(begun["url"], data)
        async with refused(served, "rate_limited", status=429, says="MiB"):
            await node.put(begun["url"], data)
        other = await node.begin(packed(value=2.0))
        async with refused(served, "rate_limited"):
            await node.chunk(other["upload_id"], 0, packed(value=2.0))


async def test_searches_of_the_hub_are_rationed_and_those_of_the_catalogue_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.search.hub_models", lambda *_, **__: [], raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    async with serving(tmp_path, hub_searches_per_minute=1) as served:
        await served.rpc().call("search_models", hub=True)
        for tool in ("search_models", "search_datasets"):
            async with refused(served, "rate_limited"):
                await served.rpc().call(tool, hub=True)
            assert (await served.rpc().call(tool, query="digits"))["hub_unavailable"] is None


async def test_sessions_are_rationed_in_either_transport(tmp_path: Path) -> None:
    async with serving(tmp_path, sessions_per_minute=2) as served:
        for _ in range(2):
            assert (await served.http.post("/mcp", json=INITIALIZE, headers=JSON)).status_code == 200
        for method, path in (("POST", "/mcp"), ("GET", "/sse")):
            answer = await served.http.request(method, path, json=INITIALIZE, headers=JSON)
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
            assert "retry-after" in answer.headers
        assert (await served.rpc().call("list_tasks"))["tasks"] == [], "the modern era has no session to ration"


async def test_after_many_wrong_tokens_an_address_hears_429_but_a_right_one_still_works(tmp_path: Path) -> None:
    async with serving(tmp_path, failures_per_minute=3) as served:
        right = (await served.token("viewer")).secret
        assert [(await served.http.get("/metrics", headers=WRONG)).status_code for _ in range(3)] == [401] * 3
        answer = await served.http.get("/metrics", headers=WRONG)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        assert (await served.rpc(right).call("list_tasks"))["tasks"] == []
        assert (await served.http.get("/metrics")).status_code == 200


async def test_a_token_that_has_ended_is_401_however_often_it_comes(tmp_path: Path) -> None:
    async with serving(tmp_path, failures_per_minute=2) as served:
        token = await served.token("node")
        await served.federation.tokens.revoke(token.token_id, actor="test")
        ended = {"Authorization": f"Bearer {token.secret}"}
        statuses = [(await served.http.get("/metrics", headers=ended)).status_code for _ in range(6)]
        assert statuses == [401] * 6, "a node that hears 429 would go on for ever"


async def test_a_token_that_somebody_thought_up_cannot_be_guessed_at_speed(tmp_path: Path) -> None:
    preset = "correct horse battery"
    async with serving(tmp_path, failures_per_minute=2, operator_token=preset) as served:
        right = {"Authorization": f"Bearer {preset}"}
        assert (await served.http.get("/metrics", headers=right)).status_code == 200
        for _ in range(2):
            await served.http.get("/metrics", headers=WRONG)
        assert (await served.http.get("/metrics", headers=right)).status_code == 429


async def flood(served: Served, header: Callable[[int], str]) -> set[int]:
    """The statuses of ten requests with a wrong token, each with a header of its own."""
    statuses = set()
    for number in range(10):
        async with bare(served.base) as line:
            await line.send(head("GET", "/metrics", "Authorization: Bearer pl_wrong", header(number)))
            statuses.add((await line.answer()).status)
    return statuses


async def test_a_caller_cannot_choose_its_address(tmp_path: Path) -> None:
    async with serving(tmp_path, failures_per_minute=3) as served:
        assert await flood(served, lambda n: f"X-Forwarded-For: 192.0.2.{n}") == {401, 429}
        assert await flood(served, lambda n: f"Forwarded: for=192.0.2.{n}") == {429}


async def test_a_trusted_proxy_names_the_address_that_it_saw_itself(tmp_path: Path) -> None:
    async with serving(tmp_path, failures_per_minute=3, trusted_proxies=["127.0.0.1"]) as served:
        assert await flood(served, lambda n: f"X-Forwarded-For: 192.0.2.{n}") == {401}
        invented = await flood(served, lambda n: f"X-Forwarded-For: 198.51.100.{n}, 203.0.113.9")
        assert invented == {401, 429}, "what stands before the proxy's own word is the caller's"


async def test_limits_hold_in_a_session_of_the_older_era_and_over_sse(tmp_path: Path) -> None:
    async with serving(tmp_path, predictions_per_minute=6) as served:
        task_id = await served.task()
        arguments = {"task_id": task_id, "inputs": [[0.5] * 64]}
        codes = []
        for transport in ("http", "sse", "http"):
            async with served.client(transport=transport, mode="legacy") as client:
                result = await client.call_tool("predict", arguments)
                codes.append((result.structured_content or {}).get("error", {}).get("code"))
        assert codes == [None, "rate_limited", "rate_limited"]


async def test_calls_at_one_moment_are_counted_each(tmp_path: Path) -> None:
    async with serving(tmp_path, handshakes_per_minute=5) as served:
        node = RawNode(served, served.rpc((await served.token("node")).secret))
        answers = await asyncio.gather(*(node.hello() for _ in range(12)), return_exceptions=True)
        assert sum(isinstance(answer, dict) for answer in answers) == 5
