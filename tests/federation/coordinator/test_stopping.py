"""A task ends when it has reached its aim or gets no further, and pauses when training goes wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from world import Clock, Node, ThreeNumbers, World, open_world

from federation.coordinator import transitions
from federation.evaluation import Evaluation
from federation.store.tables import events

pytestmark = pytest.mark.anyio

ALONE: dict[str, Any] = {"cohort": {"size": 1}, "rounds": 9}


async def train(world: World, task: str, node: Node, *deltas: float, **measured: float) -> None:
    """Rounds of one node; the model's accuracy is the sum of the deltas, its loss one minus that."""
    for delta in deltas:
        work = await node.ask(task)
        assert work.round is not None
        assert work.model is not None
        await node.submit(task, work.round, delta, base=work.model["version"], metrics=measured)
        await world.review()


async def look(world: World, task: str) -> dict[str, Any]:
    return await world.federation.views.task(task, private=True)


async def test_a_task_finishes_when_the_server_measures_the_target(world: World) -> None:
    task, ann = await world.task(**ALONE, stopping={"target_accuracy": 0.5}), await world.node("ann")
    await train(world, task, ann, 0.25, 0.125)
    assert (await look(world, task))["state"] == "running"
    await train(world, task, ann, 0.25)
    view = await look(world, task)
    assert (view["state"], view["round"], view["version"]) == ("finished", 3, 3)
    assert view["reason"] == "target accuracy 0.5 reached in round 3, by version 3"
    assert (await ann.ask(task)).action == "evaluate", "the end is an end like any other"
    async with world.federation.shared.database.read() as connection:
        detail = await connection.scalar(select(events.c.detail).where(events.c.kind == "task_finished"))
    assert detail == {"version": 3, "reason": view["reason"]}


async def test_without_a_server_that_scores_the_nodes_mean_counts_for_the_version_that_they_received(
    world: World,
) -> None:
    changes = ALONE | {"evaluation": {"server": False}, "stopping": {"target_accuracy": 0.9}}
    task, ann = await world.task(**changes), await world.node("ann")
    await train(world, task, ann, 0.5, 0.5, eval_accuracy=0.3)
    await train(world, task, ann, 0.5, eval_accuracy=0.95)
    view = await look(world, task)
    assert (view["state"], view["reason"]) == ("finished", "target accuracy 0.9 reached in round 2, by version 2")
    assert view["best"]["version"] == 2


async def test_nothing_is_judged_by_the_nodes_before_the_server_is_due_to_score(world: World) -> None:
    changes = ALONE | {"evaluation": {"every": 3}, "stopping": {"target_accuracy": 0.9}}
    task, ann = await world.task(**changes), await world.node("ann")
    await train(world, task, ann, 0.1, 0.1, 0.1, 0.1, eval_accuracy=0.99)
    assert (await look(world, task))["state"] == "running", "the server measured 0.3"


async def test_a_task_that_gets_no_better_finishes_and_names_its_best_version(world: World) -> None:
    task, ann = await world.task(**ALONE, stopping={"patience": 2, "min_delta": 0.1}), await world.node("ann")
    await train(world, task, ann, 0.25, 0.25, 0.0625)
    assert (await look(world, task))["state"] == "running"
    await train(world, task, ann, -0.0625)
    view = await look(world, task)
    assert (view["state"], view["round"]) == ("finished", 4)
    assert view["reason"] == "no improvement over 2 rounds by more than 0.1; the best is version 3"
    assert view["best"] == {"version": 3, "accuracy": pytest.approx(0.5625), "loss": pytest.approx(0.4375)}


async def test_without_a_stopping_section_a_task_runs_all_its_rounds(world: World) -> None:
    task, ann = await world.task(**ALONE | {"rounds": 5}), await world.node("ann")
    await train(world, task, ann, 0.9, 0.0, 0.0, 0.0, 0.0)
    view = await look(world, task)
    assert (view["state"], view["round"], view["reason"]) == ("finished", 5, "")


async def test_a_task_that_diverges_is_paused_and_goes_on_from_its_best_version_after_a_roll_back(world: World) -> None:
    task, ann = await world.task(**ALONE), await world.node("ann")
    await train(world, task, ann, 0.75, -2.0, -1.0)
    assert (await look(world, task))["state"] == "running"
    await train(world, task, ann, 0.0)
    view = await look(world, task)
    assert (view["state"], view["round"], view["version"], view["best"]["version"]) == ("paused", 4, 4, 1)
    assert "above 4 times the best in rounds 2 to 4" in view["reason"]
    assert "control_task roll_back with version=1, then resume" in view["reason"]
    assert (await ann.ask(task)).action == "wait"

    control = world.federation.tasks.control
    await control(task, "roll_back", version=view["best"]["version"], actor="test")
    (listed,) = await world.federation.views.tasks()
    assert (listed["version"], listed["accuracy"]) == (view["best"]["version"], view["best"]["accuracy"])
    await control(task, "resume", version=None, actor="test")
    await train(world, task, ann, 0.125)
    view = await look(world, task)
    assert (view["state"], view["round"], view["version"], view["reason"]) == ("running", 6, 5, "")
    assert (await world.round(task, 5))["base_version"] == 1
    assert (await world.weights(task)).tolist() == [0.875] * 3


async def test_versions_that_a_roll_back_left_behind_do_not_count(world: World) -> None:
    task, ann = await world.task(**ALONE), await world.node("ann")
    await train(world, task, ann, 0.75, -2.0, 0.0, 0.0)
    for action, version in (("roll_back", 1), ("resume", None)):
        await world.federation.tasks.control(task, action, version=version, actor="test")  # type: ignore[arg-type]
    await train(world, task, ann, -2.0, 0.0)
    assert (await look(world, task))["state"] == "running", "two bad rounds of its own"
    await train(world, task, ann, 0.0)
    assert (await look(world, task))["state"] == "paused"


async def test_a_task_that_is_resumed_as_it_is_goes_on_for_a_round_at_a_time(world: World) -> None:
    task, ann = await world.task(**ALONE), await world.node("ann")
    await train(world, task, ann, 0.75, -2.0, 0.0, 0.0)
    await world.federation.tasks.control(task, "resume", version=None, actor="test")
    assert (await look(world, task))["state"] == "running"
    await train(world, task, ann, 0.0)
    assert (await look(world, task))["state"] == "paused"
    await world.federation.tasks.control(task, "resume", version=None, actor="test")
    await train(world, task, ann, 2.0)
    assert (await look(world, task))["state"] == "running"


@pytest.mark.parametrize(("choice", "state"), [("stop", "finished"), ("go_on", "running")])
async def test_a_task_may_stop_or_go_on_instead(world: World, choice: str, state: str) -> None:
    task, ann = await world.task(**ALONE, stopping={"on_divergence": choice}), await world.node("ann")
    await train(world, task, ann, 0.75, -2.0, 0.0, 0.0)
    view = await look(world, task)
    assert view["state"] == state
    assert ("diverged" in view["reason"]) == (choice == "stop")


async def test_a_loss_that_is_not_finite_pauses_at_once_but_for_the_last_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Evaluation(num_examples=10, loss=math.nan, accuracy=0.1, per_class_accuracy=[0.1])
    monkeypatch.setattr(ThreeNumbers, "evaluate", lambda *_: broken)
    task, ann = await world.task(**ALONE), await world.node("ann")
    await train(world, task, ann, 0.5)
    view = await look(world, task)
    assert (view["state"], view["best"]) == ("paused", {})
    assert "the loss of version 1 is not finite" in view["reason"]

    short = await world.task(**ALONE | {"rounds": 1})
    await train(world, short, ann, 0.5)
    view = await look(world, short)
    assert (view["state"], "diverged" in view["reason"]) == ("finished", True), "there is no round left to hold up"


async def test_the_pause_is_in_the_transaction_that_closes_the_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, record = Clock(), transitions.record

    async def fails(connection: Any, kind: str, **words: Any) -> None:
        if kind == "task_paused":
            raise OSError("the disk is full")
        await record(connection, kind, **words)

    async with open_world(tmp_path, clock) as world:
        task, ann = await world.task(**ALONE), await world.node("ann")
        await train(world, task, ann, 0.75, -2.0, 0.0)
        monkeypatch.setattr(transitions, "record", fails)
        await train(world, task, ann, 0.0)
        view = await look(world, task)
        assert (view["state"], view["version"], view["rounds"][3]["state"]) == ("running", 3, "aggregating")
    monkeypatch.undo()
    async with open_world(tmp_path, clock) as world:
        await world.review()
        view = await look(world, task)
        assert (view["state"], view["version"], view["rounds"][3]["state"]) == ("paused", 4, "closed")
    async with open_world(tmp_path, clock) as world:
        assert (await look(world, task))["state"] == "paused"


async def test_each_version_keeps_its_scores_by_class_how_far_it_moved_and_how_fair_the_rounds_were(
    world: World,
) -> None:
    task = await world.task(rounds=2)
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    await ann.submit(task, 1, 1.0), await bob.submit(task, 1, -0.5)
    await world.review()
    await world.federation.models.evaluate(task, 1)
    rows = [row for row in await world.federation.views.metrics(task) if row["source"] == "server"]
    kept = {row["name"]: row["value"] for row in rows}
    assert len(kept) == len(rows), "scoring again replaces the scores and nothing else"
    assert kept == {
        "accuracy": 0.25,
        "loss": 0.75,
        "examples": 10,
        "accuracy.class_0": 0.25,
        "step_norm": pytest.approx(0.25 * math.sqrt(3)),
        "mean_update_norm": pytest.approx(0.75 * math.sqrt(3)),
        "update_agreement": pytest.approx(1 / 3),
        "participation_fairness": 1.0,
    }
    lineage = await world.federation.views.version(task, 1)
    assert lineage["metrics"]["accuracy.class_0"] == 0.25
    await world.federation.models.evaluate(task, 0)
    assert (await look(world, task))["initial_scores"].keys() >= {"accuracy", "loss"}
    assert not any("class" in name for name in (await look(world, task))["initial_scores"]), "get_task stays short"
