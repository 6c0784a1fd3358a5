from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from edge_client.answers import Lost
from edge_client.heartbeat import Heartbeat
from federation.errors import ErrorCode, Refused
from federation.training import Progress

pytestmark = pytest.mark.anyio


def stopped_within(heartbeat: Heartbeat, seconds: float) -> bool:
    """What the training thread does, but for the training."""
    deadline = time.monotonic() + seconds
    while not heartbeat.stopped() and time.monotonic() < deadline:
        pass
    return heartbeat.stopped()


async def test_the_latest_progress_is_reported() -> None:
    told = asyncio.Event()

    async def beat(reported: Progress | None) -> dict[str, Any]:
        if reported is progress:
            told.set()
        return {"state": "continue"}

    progress = Progress(step=3, total_steps=9, epoch=1, loss=0.5, accuracy=0.5, examples_per_s=10)
    async with Heartbeat(beat, 0) as heartbeat:
        heartbeat.progress = progress
        await told.wait()
        assert not heartbeat.stopped()
    assert heartbeat.stopped()


async def test_the_servers_stop_stops_the_work_and_says_why() -> None:
    async def beat(progress: Progress | None) -> dict[str, Any]:
        return {"state": "stop", "reason": "round 1 is closed"}

    async with Heartbeat(beat, 0) as heartbeat:
        assert await asyncio.to_thread(stopped_within, heartbeat, 10)
    assert heartbeat.reason == "round 1 is closed"


async def test_a_refusal_stops_the_work_and_is_kept() -> None:
    async def beat(progress: Progress | None) -> dict[str, Any]:
        raise Refused(ErrorCode.FENCED, "another process took over.", "stop it")

    async with Heartbeat(beat, 0) as heartbeat:
        assert await asyncio.to_thread(stopped_within, heartbeat, 10)
    assert heartbeat.refusal is not None
    assert heartbeat.refusal.code is ErrorCode.FENCED


async def test_a_report_on_its_way_may_arrive_when_the_work_is_done() -> None:
    sent, answer = asyncio.Event(), asyncio.Event()
    arrived = []

    async def beat(progress: Progress | None) -> dict[str, Any]:
        sent.set()
        await answer.wait()
        arrived.append(progress)
        return {"state": "continue"}

    async with Heartbeat(beat, 0):
        await sent.wait()
        asyncio.get_running_loop().call_soon(answer.set)
    assert arrived == [None]


async def test_work_that_fails_waits_for_no_report() -> None:
    sent = asyncio.Event()

    async def beat(progress: Progress | None) -> dict[str, Any]:
        sent.set()
        await asyncio.Event().wait()
        return {}

    async def fail() -> None:
        async with Heartbeat(beat, 0):
            await sent.wait()
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await fail()


async def test_a_server_that_is_lost_is_told_again_at_the_next_beat() -> None:
    beats, back = [], asyncio.Event()

    async def beat(progress: Progress | None) -> dict[str, Any]:
        beats.append(progress)
        if len(beats) < 3:
            raise Lost("no answer")
        back.set()
        return {"state": "continue"}

    async with Heartbeat(beat, 0) as heartbeat:
        await back.wait()
        assert not heartbeat.stopped()


async def test_a_transfer_for_a_round_that_is_over_is_given_up() -> None:
    cancelled = []

    async def beat(progress: Progress | None) -> dict[str, Any]:
        return {"state": "stop", "reason": "round 1 is closed"}

    async def transfer() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(Refused, match="round 1 is closed") as caught:
        async with Heartbeat(beat, 0) as heartbeat:
            await heartbeat.unless_stopped(transfer())
    assert caught.value.code is ErrorCode.ROUND_CLOSED
    assert cancelled


async def test_a_transfer_that_fails_fails_as_itself() -> None:
    async def beat(progress: Progress | None) -> dict[str, Any]:
        return {"state": "continue"}

    async def transfer() -> None:
        raise Refused(ErrorCode.TOO_LARGE, "5 bytes.", "send fewer")

    with pytest.raises(Refused, match="send fewer"):
        async with Heartbeat(beat, 10) as heartbeat:
            await heartbeat.unless_stopped(transfer())
