"""A clock that is set back while no server runs prolongs nothing beyond what it would last from now."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from world import Clock, open_world

from federation.store.tables import uploads
from federation.tokens import Role

pytestmark = pytest.mark.anyio


async def test_a_round_then_ends_at_the_latest_one_deadline_after_the_start(tmp_path: Path) -> None:
    clock = Clock()
    async with open_world(tmp_path, clock) as world:
        task = await world.task(cohort={"size": 2, "quorum": 1}, deadline_s=100, lease_s=1000)
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        await ann.submit(task, 1, 1.0)
    clock.now -= 86_400
    async with open_world(tmp_path, clock) as world:
        assert (await world.round(task, 1))["deadline_at"] == clock.now + 100
        await world.pass_time(99)
        assert (await world.round(task, 1))["state"] == "collecting"
        await world.pass_time(2)
        assert (await world.round(task, 1))["state"] == "closed"


async def test_a_deadline_that_is_near_enough_stays_as_it_was(tmp_path: Path) -> None:
    clock = Clock()
    async with open_world(tmp_path, clock) as world:
        task = await world.task(deadline_s=100)
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        deadline = (await world.round(task, 1))["deadline_at"]
    clock.now += 30
    async with open_world(tmp_path, clock) as world:
        assert (await world.round(task, 1))["deadline_at"] == deadline


async def test_an_upload_url_then_ends_within_its_lifetime(tmp_path: Path) -> None:
    clock = Clock()
    async with open_world(tmp_path, clock) as world:
        task = await world.task()
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        await ann.prepared(task, 1, 1.0)
        lifetime = world.federation.limits.upload_lifetime_s
    clock.now -= 86_400
    async with open_world(tmp_path, clock) as world, world.federation.shared.database.read() as connection:
        assert await connection.scalar(select(func.max(uploads.c.expires_at))) == clock.now + lifetime


async def test_a_token_then_ends_at_the_latest_one_lifetime_after_the_start(tmp_path: Path) -> None:
    clock = Clock()
    async with open_world(tmp_path, clock) as world:
        token, _ = await world.federation.tokens.issue(
            Role.VIEWER, label="for an hour", request_id="hour", actor="test", lifetime_s=3600
        )
    clock.now -= 365 * 86_400
    async with open_world(tmp_path, clock) as world:
        assert await world.federation.tokens.verify(token.secret) is not None
        clock.now += 3601
        assert await world.federation.tokens.verify(token.secret) is None
