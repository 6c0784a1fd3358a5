"""Language models answer one caller after the other, and send those away who would wait too long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from federation.coordinator.turns import Turns
from federation.errors import ErrorCode, Refused

pytestmark = pytest.mark.anyio


async def test_jobs_run_one_at_a_time_in_the_order_of_their_coming() -> None:
    turns, running, most = Turns(8), 0, 0
    order: list[int] = []

    def job(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        order.append(number)
        running -= 1
        return number

    async with asyncio.timeout(20):
        assert await asyncio.gather(*[turns.take(lambda n=n: job(n)) for n in range(6)]) == list(range(6))
    assert most == 1
    assert order == list(range(6))


async def test_whoever_comes_when_too_many_wait_is_told_to_come_back() -> None:
    turns, go_on = Turns(2), threading.Event()
    first = asyncio.ensure_future(turns.take(lambda: go_on.wait(20)))
    second = asyncio.ensure_future(turns.take(lambda: "second"))
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="2 others wait") as refused:
        await turns.take(lambda: "third")
    assert refused.value.code is ErrorCode.BUSY
    assert refused.value.retry_after_s == 5.0
    go_on.set()
    async with asyncio.timeout(20):
        assert await first
        assert await second == "second"
        assert await turns.take(lambda: "third") == "third"


async def test_who_no_longer_waits_gives_up_the_turn() -> None:
    turns, go_on, begun = Turns(2), threading.Event(), threading.Event()

    def first() -> bool:
        begun.set()
        return go_on.wait(20)

    at_work = asyncio.ensure_future(turns.take(first))
    gone = asyncio.ensure_future(turns.take(lambda: pytest.fail("nobody waits for this")))
    await asyncio.to_thread(begun.wait, 20)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await asyncio.sleep(0)
    third = asyncio.ensure_future(turns.take(lambda: "third"))
    go_on.set()
    async with asyncio.timeout(20):
        assert await at_work
        assert await third == "third"


async def test_what_a_job_raises_is_raised_and_the_next_has_its_turn() -> None:
    turns = Turns(1)
    with pytest.raises(ZeroDivisionError):
        await turns.take(lambda: 1 // 0)
    await asyncio.sleep(0)
    assert await turns.take(lambda: "next") == "next"
