"""A measurement holds its lock until it has ended, whoever waits for it."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from federation.errors import ErrorCode, Refused
from tools.measuring import measured

pytestmark = pytest.mark.anyio
PATIENCE_S = 10


async def test_a_caller_who_goes_away_ends_the_work_and_only_then_is_there_room_for_another() -> None:
    lock, begun, told, may_end = asyncio.Lock(), Event(), Event(), Event()

    def work(stop: Event) -> str:
        begun.set()
        assert stop.wait(PATIENCE_S)
        told.set()
        assert may_end.wait(PATIENCE_S)
        raise RuntimeError("nobody hears this")

    call = asyncio.create_task(measured(lock, work))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await asyncio.to_thread(told.wait, PATIENCE_S)
    assert lock.locked()
    with pytest.raises(Refused) as refused:
        await measured(lock, lambda stop: "another")
    assert refused.value.code is ErrorCode.BUSY
    may_end.set()
    async with asyncio.timeout(PATIENCE_S), lock:
        pass
    assert await measured(lock, lambda stop: "another") == "another"


async def test_its_failure_is_the_callers_and_frees_the_lock() -> None:
    lock = asyncio.Lock()

    def work(stop: Event) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await measured(lock, work)
    assert not lock.locked()
