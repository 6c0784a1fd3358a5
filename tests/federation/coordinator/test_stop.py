"""A stop does not wait for a fold or an evaluation that takes its time: the next start does it again."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from world import Clock, ThreeNumbers, open_world

pytestmark = pytest.mark.anyio


async def test_an_evaluation_that_does_not_end_holds_no_stop_up_and_its_round_is_closed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release, clock = threading.Event(), threading.Event(), Clock()

    def hang(*_: object) -> None:
        begun.set()
        assert release.wait(60)

    monkeypatch.setattr("federation.coordinator.federation._STOP_S", 0.05)
    try:
        async with asyncio.timeout(30):
            async with open_world(tmp_path, clock) as world:
                task = await world.task()
                ann, bob = await world.node("ann"), await world.node("bob")
                await ann.ask(task), await bob.ask(task)
                await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 3.0)
                with monkeypatch.context() as patched:
                    patched.setattr(ThreeNumbers, "evaluate", hang)
                    await world.federation.closer.review()
                    assert await asyncio.to_thread(begun.wait, 20)
        async with open_world(tmp_path, clock) as world:
            assert (await world.round(task, 1))["state"] == "aggregating"
            await world.review()
            assert (await world.round(task, 1))["state"] == "closed"
            assert (await world.weights(task)).tolist() == [2.0, 2.0, 2.0]
    finally:
        release.set()
