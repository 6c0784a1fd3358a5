"""What was committed takes effect, whatever happens to whoever asked for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import select
from world import Clock, Node, World, open_world

from federation.errors import ErrorCode, Refused
from federation.store.tables import events

pytestmark = pytest.mark.anyio


async def pair(world: World, **changes: Any) -> tuple[str, Node, Node]:
    """A task and its two nodes, both selected for round 1."""
    task = await world.task(**changes)
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    return task, ann, bob


async def kinds(world: World) -> list[str]:
    async with world.federation.shared.database.read() as connection:
        return list(await connection.scalars(select(events.c.kind).order_by(events.c.event_id)))


def failing_once(function: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    left = [error]

    def call(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop()
        return function(*args, **kwargs)

    return call


async def cancelled_while_committing(world: World, action: Callable[[], Any]) -> None:
    """Cancels `action` while its transaction waits for its turn, and lets the transaction go through."""
    database = world.federation.shared.database
    async with database._turn:
        caller = asyncio.create_task(action())
        while not database._writing:
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    await asyncio.wait(set(database._writing))


async def test_word_of_an_update_gets_out_though_its_sender_is_gone(world: World) -> None:
    task, ann, bob = await pair(world)
    await bob.submit(task, 1, 1.0)
    told: list[str] = []
    world.federation.shared.notices.listen(lambda topic, subject: told.append(topic))
    submission = await ann.prepared(task, 1, 2.0)
    told.clear()
    await cancelled_while_committing(world, lambda: world.federation.submissions.submit(ann.row, submission))
    assert "task" in told
    await world.review()
    assert (await world.round(task, 1))["state"] == "closed"


async def test_word_of_a_cohort_gets_out_though_the_node_that_completed_it_is_gone(world: World) -> None:
    task = await world.task()
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task)
    await world.join(task, bob)
    work = world.federation.shared.notices.next_work(task)
    await cancelled_while_committing(world, lambda: bob.ask(task))
    assert work.is_set()
    assert (await ann.ask(task)).action == "train"


async def test_a_pause_that_came_first_is_honoured_by_a_selection_in_flight(world: World) -> None:
    task = await world.task()
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task)
    await world.join(task, bob)
    database = world.federation.shared.database
    async with database._turn:
        pausing = asyncio.create_task(world.federation.tasks.control(task, "pause", version=None, actor="test"))
        while not database._writing:
            await asyncio.sleep(0)
        asking = asyncio.create_task(bob.ask(task))
        while len(database._writing) < 2:
            await asyncio.sleep(0)
    await pausing
    assert (await asking).action == "wait"
    assert (await world.round(task, 1))["state"] == "open"


async def test_a_failure_that_passes_costs_no_update(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    task, ann, bob = await pair(world)
    await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 3.0)
    spool = world.federation.shared.spool
    monkeypatch.setattr(spool, "put", failing_once(spool.put, OSError(5, "Input/output error")))
    await world.review()
    assert (await world.round(task, 1))["state"] == "aggregating"
    await world.review()
    assert (await world.round(task, 1))["state"] == "aggregating", "not before the pause is over"
    await world.pass_time(1.1)
    assert (await world.round(task, 1))["state"] == "closed"
    torch.testing.assert_close(await world.weights(task), torch.full((3,), 2.0))


async def test_the_clockwork_tries_again_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.coordinator.closing._RETRY_S", (0.01,))
    async with open_world(tmp_path, clockwork=True) as world:
        task = await world.task(rounds=1)
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        spool = world.federation.shared.spool
        monkeypatch.setattr(spool, "put", failing_once(spool.put, OSError(28, "No space left on device")))
        await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 3.0)
        async with asyncio.timeout(10):
            while True:
                change = world.federation.shared.notices.next_work(task)  # before the look, or it may go unseen
                if (await world.round(task, 1))["state"] == "closed":
                    break
                await change.wait()


async def test_a_failure_that_does_not_pass_is_given_up_after_a_few_attempts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.coordinator.closing._RETRY_S", (1.0, 2.0))
    task, ann, bob = await pair(world)
    await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 3.0)

    def broken(*_: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(world.federation.closer._publisher, "_aggregate", broken)
    await world.review()
    with pytest.raises(Refused, match="a bug") as told:
        await world.federation.closer.aggregate_now(task, 1, "test")
    assert told.value.code is ErrorCode.BUSY
    await world.pass_time(2.1)
    view = await world.federation.views.task(task, private=False)
    assert (view["state"], view["rounds"][0]["state"]) == ("paused", "void")
    assert "ValueError: a bug" in view["reason"]


async def test_a_database_that_is_locked_costs_no_update(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    task, ann, bob = await pair(world)
    await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 3.0)
    database = world.federation.shared.database
    busy = Refused(ErrorCode.BUSY, "the database cannot be written now: database is locked.", "repeat")
    monkeypatch.setattr(world.federation.closer._publisher, "_commit", failing_once(lambda: None, busy))
    assert database.url.database is not None
    await world.review()
    assert (await world.round(task, 1))["state"] == "aggregating"
    monkeypatch.undo()
    await world.pass_time(1.1)
    assert (await world.round(task, 1))["state"] == "closed"


async def test_a_model_that_cannot_be_scored_is_published_without_scores(world: World) -> None:
    task, ann, bob = await pair(world)
    await ann.submit(task, 1, 1000.0), await bob.submit(task, 1, 1000.0)  # the workload breaks above 900
    await world.review()
    done = await world.round(task, 1)
    assert (done["state"], done["version"], done["accuracy"]) == ("closed", 1, None)
    async with world.federation.shared.database.read() as connection:
        detail = await connection.scalar(select(events.c.detail).where(events.c.kind == "round_closed"))
    assert detail is not None
    assert detail["unscored"] == "the evaluation broke"


async def test_updates_that_cannot_be_folded_pause_the_task_and_say_why(world: World) -> None:
    task, ann, bob = await pair(world)
    await ann.submit(task, 1, 3e38), await bob.submit(task, 1, 3e38)
    await world.review()
    await ann.ask(task), await bob.ask(task)
    await ann.submit(task, 2, 3e38), await bob.submit(task, 2, 3e38)  # beyond what float32 can hold
    await world.review()
    view = await world.federation.views.task(task, private=False)
    assert (view["state"], view["version"], view["rounds"][1]["state"]) == ("paused", 1, "void")
    assert "could not be aggregated" in view["reason"]
    assert (await kinds(world))[-1] == "task_paused"
    await world.federation.tasks.control(task, "resume", version=None, actor="test")
    view = await world.federation.views.task(task, private=False)
    assert (view["state"], view["round"], view["reason"]) == ("running", 3, "")


async def test_bytes_that_arrive_as_their_round_ends_do_not_stay(world: World) -> None:
    task, ann, bob = await pair(world, rounds=1, cohort={"size": 2, "quorum": 1}, lease_s=1000)
    await ann.submit(task, 1, 1.0)
    uploads, spool = world.federation.uploads, world.federation.shared.spool
    data = b"late"
    sha256 = hashlib.sha256(data).hexdigest()
    upload, _, _ = await uploads.begin(bob.node_id, task, number=1, base_version=0, sha256=sha256, size=len(data))
    await world.pass_time(100)  # the deadline passes while the bytes are on their way
    spool.put(data)
    with pytest.raises(Refused) as gone:
        await uploads.finish(upload)
    assert gone.value.code is ErrorCode.UPLOAD_GONE
    assert not spool.has(sha256)


async def test_a_share_passes_on_only_when_its_holders_lease_is_over_and_then_for_good(world: World) -> None:
    task = await world.task(data={"id": "digits", "partition": {"parts": 1}}, cohort={"size": 1}, lease_s=100)
    ann, bob = await world.node("ann"), await world.node("bob")
    assert (await ann.ask(task)).partition_index == 0
    world.clock.now += 60
    with pytest.raises(Refused) as taken:
        await bob.ask(task)
    assert taken.value.code is ErrorCode.PARTITION_TAKEN
    world.clock.now += 41
    assert (await bob.ask(task)).partition_index == 0
    with pytest.raises(Refused):
        await ann.ask(task)


async def test_a_node_whose_share_has_passed_on_is_not_asked_to_score_with_nothing(world: World) -> None:
    task, ann, bob = await pair(world, rounds=1, data={"id": "digits", "partition": {"parts": 2}})
    await ann.submit(task, 1, 1.0)
    world.clock.now += 50
    await world.federation.reports.progress(bob.row, task, 1, {"step": 1})
    late = await world.node("cat")
    await late.ask(task)
    await bob.submit(task, 1, 1.0)
    await world.review()
    assert (await ann.ask(task)).action == "finished"
    assert (await bob.ask(task)).action == "evaluate"


async def test_a_data_directory_in_a_folder_that_was_there_leaves_its_gitignore_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    async with open_world(tmp_path):
        assert (tmp_path / ".gitignore").read_text() == "*.pyc\n"
    async with open_world(tmp_path / "new"):
        assert (tmp_path / "new" / ".gitignore").read_text() == "*\n"


async def test_a_newcomer_to_a_finished_task_learns_that_it_is_finished(world: World) -> None:
    task, ann, bob = await pair(world, rounds=1, data={"id": "digits", "partition": {"parts": 2}})
    await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 1.0)
    await world.review()
    late = await world.node("cat")
    assert (await late.ask(task)).action == "finished"


async def test_setting_the_systems_clock_loses_no_node(tmp_path: Path) -> None:
    clock, ticking = Clock(), Clock()
    async with open_world(tmp_path, clock, monotonic=ticking) as world:
        task, ann, _ = await pair(world, cohort={"size": 2, "quorum": 1}, deadline_s=7 * 86_400)
        await ann.submit(task, 1, 1.0)
        for jump in (3600, -7200):
            clock.now += jump
            await world.review()
            assert (await world.round(task, 1))["state"] == "collecting"
        ticking.now += 21
        await world.review()
        assert (await world.round(task, 1))["state"] == "closed"
