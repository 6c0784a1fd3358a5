"""The system's clock is set while a server runs: rounds last as long as they would have."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lives import CLOCK, Lives
from small_federation import SmallFederation

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
HOUR = 3600


async def with_a_clock(lives: Lives, folder: Path) -> Path:
    """A server whose system clock can be set by writing to a file."""
    offset = folder / "clock"
    offset.write_text("0")
    await lives.start(**{CLOCK: str(offset)})
    return offset


async def test_a_clock_set_forward_ends_no_round(lives: Lives, tmp_path: Path) -> None:
    offset = await with_a_clock(lives, tmp_path)
    federation = SmallFederation(lives)
    token = await federation.create(rounds=1, cohort={"size": 2, "quorum": 1}, deadline_s=HOUR, lease_s=HOUR)
    await federation.take_assignments_and_fall_silent(token)
    offset.write_text(str(2 * HOUR))
    first = asyncio.ensure_future(federation.node("raw", token).run())
    async with asyncio.timeout(60):
        await federation.given.wait()  # what comes in makes the server look at the round
    task = await lives.call("get_task", task_id=federation.task_id)
    assert task["rounds"][0]["state"] == "collecting"
    await asyncio.gather(first, federation.node("inband", token).run())
    task = await lives.call("get_task", task_id=federation.task_id)
    assert [(each["state"], each["submitted"]) for each in task["rounds"]] == [("closed", 2)]


async def test_a_clock_set_back_prolongs_no_round(lives: Lives, tmp_path: Path) -> None:
    offset = await with_a_clock(lives, tmp_path)
    federation = SmallFederation(lives)
    token = await federation.create(rounds=1, cohort={"size": 2, "quorum": 1}, deadline_s=8, lease_s=HOUR)
    await federation.take_assignments_and_fall_silent(token)
    offset.write_text(str(-2 * HOUR))
    async with asyncio.timeout(60):
        await federation.node("raw", token).run()  # until the task is finished: the other node stays away
    task = await lives.call("get_task", task_id=federation.task_id)
    assert [(each["state"], each["submitted"]) for each in task["rounds"]] == [("closed", 1)]
