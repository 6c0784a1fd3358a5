"""What the agent proposes when a training goes wrong, and that it does no more than was agreed to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.diagnosis.facts import Finding
from potluck.agent import following
from potluck.agent.following import Follower
from potluck.agent.person import Person
from potluck.agent.proposals import Proposal, close_early, held_up, proposals, slower
from tests.mcp_server.raw_node import enrolled, packed, zeros
from tests.mcp_server.running import Served, serving
from tests.potluck.agents import Answers, Run, agent_on, deliver

ALONE: dict[str, Any] = {"cohort": {"size": 1}, "rounds": 6}


def wild() -> bytes:
    """An update after which the model is sure of class 0, whatever it sees."""
    return packed(zeros() | {"delta/output.bias": torch.tensor([100.0, *[0.0] * 9])})


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    async with serving(tmp_path_factory.mktemp("served"), clockwork=True) as running:
        yield running


async def follow(run: Run, person: Person) -> tuple[dict[str, Any], Proposal | None]:
    return await Follower(run.server, person, run.state, run.store).to_the_end()


def steering(run: Run) -> list[dict[str, Any]]:
    """What the agent did to the task."""
    return [given for tool, given in run.server.called if tool in ("control_task", "aggregate_round")]


@pytest.mark.anyio
async def test_a_training_that_diverges_is_rolled_back_to_its_best_version_and_resumed(
    served: Served, tmp_path: Path
) -> None:
    task_id = await served.task(**ALONE)
    async with agent_on(served, tmp_path) as run:
        run.state.task_id, person = task_id, Answers(True)
        following_it = asyncio.create_task(follow(run, person))
        await deliver(await enrolled(served), task_id, [packed(), wild(), wild(), wild(), packed(), packed()])
        task, successor = await following_it
    assert (task["state"], successor) == ("finished", None)
    assert steering(run) == [
        {"task_id": task_id, "action": "roll_back", "version": 1},
        {"task_id": task_id, "action": "resume"},
    ]
    assert len(person.asked) == 1
    assert "May I roll back to version 1, the best before, and resume?" in person.asked[0]
    assert "I see: Training has diverged: from version 2 to version 4" in person.said
    assert [each["base_version"] for each in task["rounds"]] == [0, 1, 2, 3, 1, 5]


@pytest.mark.anyio
async def test_a_no_leaves_the_task_as_it_is_and_is_not_asked_twice(served: Served, tmp_path: Path) -> None:
    task_id = await served.task(**ALONE)
    async with agent_on(served, tmp_path) as run:
        run.state.task_id, person = task_id, Answers(False, False)
        following_it = asyncio.create_task(follow(run, person))
        await deliver(await enrolled(served), task_id, [packed(), wild(), wild(), wild()])
        task, successor = await following_it
        assert (task["state"], task["version"], successor, steering(run)) == ("paused", 4, None, [])
        asked = len(person.asked)
        run.state = run.again()
        again = Answers(True)
        task, successor = await follow(run, again)
    assert asked == 1
    assert "make a successor with training.learning_rate" in again.asked[0]
    assert successor is not None
    assert successor.successor is not None
    assert successor.successor["training"]["learning_rate"] == pytest.approx(0.05 / 3, rel=1e-2)
    assert task["state"] == "cancelled", "as it is after the calls"


@pytest.mark.anyio
@pytest.mark.parametrize(("dies_at", "made"), [(0, False), (1, False), (1, True)])
async def test_what_was_agreed_to_is_done_by_the_next_process_without_a_question_and_once(
    served: Served, tmp_path: Path, dies_at: int, made: bool
) -> None:
    task_id = await served.task(**ALONE, name=f"dies {dies_at} {made}")
    node = await enrolled(served)
    async with agent_on(served, tmp_path) as run:
        run.state.task_id = task_id
        call, steered = run.server.call, 0

        async def dies(tool: str, **arguments: Any) -> dict[str, Any]:
            nonlocal steered
            if tool != "control_task":
                return await call(tool, **arguments)
            steered += 1
            if steered == dies_at + 1 and not made:
                raise KeyboardInterrupt
            answer = await call(tool, **arguments)
            if steered == dies_at + 1:
                raise KeyboardInterrupt  # the answer is never read
            return answer

        run.server.call = dies  # type: ignore[method-assign]
        following_it = asyncio.create_task(killed(run))
        await deliver(node, task_id, [packed(), wild(), wild(), wild()])
        await following_it
        run.server.call = call  # type: ignore[method-assign]
        run.state, again = run.again(), Answers()
        following_it = asyncio.create_task(follow(run, again))  # type: ignore[arg-type]
        await deliver(node, task_id, [packed(), packed()])
        task, _ = await following_it
    assert again.asked == []
    assert [each["base_version"] for each in task["rounds"]] == [0, 1, 2, 3, 1, 5]
    assert (task["state"], run.state.pending) == ("finished", None)


async def killed(run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        await follow(run, Answers(True))


@pytest.mark.anyio
async def test_a_successor_that_was_agreed_to_is_not_forgotten_with_the_process(served: Served, tmp_path: Path) -> None:
    task_id = await served.task(**ALONE, name="forgets")
    async with agent_on(served, tmp_path) as run:
        run.state.task_id, run.state.settled = task_id, [f"roll-back-{task_id}"]
        following_it = asyncio.create_task(follow(run, Answers(True)))
        await deliver(await enrolled(served), task_id, [packed(), wild(), wild(), wild()])
        _, successor = await following_it
        run.state = run.again()  # nobody has made it yet
        again = Answers()
        assert (await follow(run, again))[1] == successor is not None
    assert again.asked == []
    assert len(steering(run)) == 1


@pytest.mark.anyio
async def test_a_round_whose_quorum_is_in_is_closed_without_its_straggler_once_agreed(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LEAST_S", 0.05)
    task_id = await served.task(cohort={"size": 2, "quorum": 1}, rounds=1, deadline_s=0.2)
    nodes = [await enrolled(served) for _ in range(2)]
    for node in nodes:
        await node.join(task_id)
    await deliver(nodes[0], task_id, [packed()])
    async with agent_on(served, tmp_path) as run:
        run.state.task_id, person = task_id, Answers(True)
        task, _ = await follow(run, person)
    assert steering(run) == [{"task_id": task_id, "round": 1}]
    assert "round 1 has 1 of 2 updates, its quorum of 1 is in" in person.said
    assert (task["state"], task["rounds"][0]["submitted"]) == ("finished", 1)


@pytest.mark.anyio
async def test_a_training_that_stands_still_may_be_stopped(served: Served, tmp_path: Path) -> None:
    task_id = await served.task(**(ALONE | {"rounds": 50}))
    async with agent_on(served, tmp_path) as run:
        run.state.task_id, person = task_id, Answers(True)
        following_it = asyncio.create_task(follow(run, person))
        working = asyncio.create_task(deliver(await enrolled(served), task_id, [packed()] * 50))
        task, _ = await following_it
        await working
    assert task["state"] == "cancelled"
    assert steering(run) == [{"task_id": task_id, "action": "cancel"}]
    assert "Plateau: no version since version 1 is better" in person.said


@pytest.mark.anyio
async def test_a_paused_task_is_resumed_only_if_the_person_agrees(served: Served, tmp_path: Path) -> None:
    task_id = await served.task(**(ALONE | {"rounds": 1}))
    await served.federation.tasks.control(task_id, "pause", version=None, actor="test")
    async with agent_on(served, tmp_path) as run:
        run.state.task_id = task_id
        task, _ = await follow(run, Answers(False))
        assert (task["state"], steering(run)) == ("paused", [])
        following_it = asyncio.create_task(follow(run, Answers(True)))
        await deliver(await enrolled(served), task_id, [packed()])
        task, _ = await following_it
    assert task["state"] == "finished"


def task(**changes: Any) -> dict[str, Any]:
    """A task as get_task shows it, as far as proposals go by it."""
    known: dict[str, Any] = {"task_id": "task-aaaaaaaaaaaaaaaa", "state": "running", "round": 3, "num_rounds": 10}
    known |= {"version": 2, "best": {"version": 1}, "reason": "", "rounds": [], "nodes": [], "simulation": None}
    spec = {"name": "t", "training": {"learning_rate": 0.3}, "aggregation": {"rule": "fedavg"}}
    return known | {"spec": spec | {"stopping": {"patience": None}}} | changes


def row(number: int, state: str, **changes: Any) -> dict[str, Any]:
    known = {"round": number, "state": state, "reason": "1 of the 2 updates of its quorum came before the deadline"}
    return known | {"selected": 3, "submitted": 2, "quorum": 2, "seconds": 1.0} | changes


DIVERGING = Finding("diverging", "problem", "Training has diverged.")
PLATEAU = Finding("plateau", "warning", "Plateau.")


def test_two_void_rounds_in_a_row_are_reason_to_wait_in_peace() -> None:
    found = proposals(task(rounds=[row(1, "closed"), row(2, "void"), row(3, "void")]), [], settled=[], generation=0)
    assert [each.calls for each in found] == [
        (("control_task", {"task_id": "task-aaaaaaaaaaaaaaaa", "action": "pause"}),)
    ]
    assert "rounds 2 and 3 are void: 1 of the 2 updates" in found[0].why
    later = task(rounds=[row(3, "void"), row(4, "void")])
    assert not proposals(later, [], settled=[found[0].key], generation=0), "a no is final"
    assert not proposals(task(rounds=[row(2, "void"), row(3, "closed")]), [], settled=[], generation=0)
    assert not proposals(task(rounds=[row(2, "void"), row(3, "void")]), [], settled=[found[0].key], generation=0)


def test_a_plateau_is_left_to_the_server_where_the_spec_says_when_to_stop() -> None:
    assert [each.key for each in proposals(task(), [PLATEAU], settled=[], generation=0)] == [
        "stop-task-aaaaaaaaaaaaaaaa"
    ]
    patient = task()
    patient["spec"]["stopping"]["patience"] = 3
    assert not proposals(patient, [PLATEAU], settled=[], generation=0)
    assert not proposals(task(round=10), [PLATEAU], settled=[], generation=0)


def test_what_diverges_again_gets_a_slower_successor_and_there_are_two_at_most() -> None:
    paused = task(state="paused")
    first = proposals(paused, [DIVERGING], settled=[], generation=0, way_back=1)
    assert [call[1].get("action") for call in first[0].calls] == ["roll_back", "resume"]
    then = proposals(paused, [DIVERGING], settled=[first[0].key], generation=0, way_back=1)
    assert then[0].successor is not None
    assert then[0].successor["training"]["learning_rate"] == 0.1
    assert then[0].successor["name"] == "t (slower)"
    assert [call[1]["action"] for call in then[0].calls] == ["cancel"]
    assert not proposals(paused, [DIVERGING], settled=[first[0].key], generation=2)
    over = proposals(task(state="finished"), [DIVERGING], settled=[], generation=0)
    assert (over[0].calls, over[0].successor is not None) == ((), True)
    assert not proposals(task(), [DIVERGING], settled=[], generation=0), "the spec says go_on, so it goes on"


def test_a_simulation_of_scaffold_is_not_rolled_back_which_the_server_would_refuse() -> None:
    simulated = task(state="paused", simulation={"engine": "loop"})
    simulated["spec"]["aggregation"]["rule"] = "scaffold"
    found = proposals(simulated, [DIVERGING], settled=[], generation=0, way_back=1)
    assert [call[1]["action"] for each in found for call in each.calls] == ["cancel"]


def test_a_slower_spec_keeps_its_name_within_bounds() -> None:
    spec = {"name": "n" * 80, "training": {"learning_rate": 0.1}}
    once = slower(spec)
    assert len(once["name"]) == 79
    assert slower(once)["name"] == once["name"]
    assert once["training"]["learning_rate"] == 0.0333


def test_who_is_late_is_named_as_data_and_a_round_without_its_quorum_is_not_closed() -> None:
    late = {"node_id": "node-b", "name": "b`<b>\u202e", "in_cohort": True, "submitted": False}
    held = task(rounds=[row(3, "collecting")], nodes=[late])
    found = close_early(held, 7.0)
    assert held_up(held)
    assert found is not None
    assert found.why.endswith("for 7 s nothing came from 'b`<b>'")
    assert close_early(task(rounds=[row(3, "collecting", submitted=1)]), 7.0) is None
    assert close_early(task(rounds=[row(3, "collecting", submitted=3)]), 7.0) is None
    assert close_early(task(rounds=[row(3, "aggregating")]), 7.0) is None
