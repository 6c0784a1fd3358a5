"""run_simulation as callers meet it, over the wire; the simulations are real processes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch

from federation.simulation.run import simulate
from federation.simulation.simulated_round import SimulatedRound
from federation.spec import parse_spec
from federation.weights import to_bytes
from resources.simulate import population_of
from tests.mcp_server.raw_node import enrolled
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served, serving
from tests.mcp_server.simulations import ATTACKED, ENDLESS, SMALL, begun, ended, until
from tests.processes import gone

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]  # each simulation is a process


@pytest.fixture(scope="module")
async def finished(served: Served) -> dict[str, Any]:
    """A simulated task of three rounds, two of ten clients attacking, once it is over."""
    _, task_id = await begun(served, SMALL, **ATTACKED)
    return await until(served, task_id, ended)


@pytest.fixture(autouse=True)
async def nothing_is_left(served: Served) -> AsyncGenerator[None]:
    """Whatever a test began and did not bring to its end is cancelled: the next one's would wait for it."""
    yield
    for task in await served.federation.views.tasks():
        if task["simulated"] and task["state"] not in ("finished", "cancelled"):
            await served.federation.tasks.control(task["task_id"], "cancel", version=None, actor="test")


def offline(spec: dict[str, Any], **how: Any) -> list[SimulatedRound]:
    """The same by `federation.simulation`, in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        parsed = parse_spec(spec)
        return list(simulate(parsed, population_of(parsed), **how))
    finally:
        torch.set_num_threads(before)


def lives(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


def hashes(task: dict[str, Any]) -> list[str]:
    return [each["sha256"] for each in task["rounds"] if each["sha256"]]


async def test_a_simulated_task_ends_at_the_bits_of_the_simulation_without_a_server(finished: dict[str, Any]) -> None:
    alone = offline(SMALL, **ATTACKED)
    assert hashes(finished) == [hashlib.sha256(to_bytes(each.weights)).hexdigest() for each in alone]
    assert (finished["state"], finished["version"], finished["reason"]) == ("finished", 3, "")
    for kept, made in zip(finished["rounds"], alone, strict=True):
        assert (kept["accuracy"], kept["loss"]) == (made.accuracy, made.loss)
        assert (kept["selected"], kept["submitted"], kept["quorum"]) == (10, 10, 10)
        assert (kept["bytes_up"], kept["bytes_down"]) == (made.bytes_up, made.bytes_down)
        assert kept["seconds"] > 0
    assert [each["node_accuracy"] is not None for each in finished["rounds"]] == [True, True, False]
    assert finished["best"]["accuracy"] == max(each.accuracy for each in alone if each.accuracy is not None)


async def test_what_the_rule_made_of_each_client_is_kept_with_the_round(
    served: Served, finished: dict[str, Any]
) -> None:
    operator, task_id = await served.operator(), finished["task_id"]
    for made in offline(SMALL, **ATTACKED):
        kept = await operator.read(f"potluck://tasks/{task_id}/rounds/{made.round}")
        assert [row["node_id"] for row in kept["cohort"]] == list(made.participants)
        for row, each, said in zip(kept["updates"], made.delivered, made.diagnoses, strict=True):
            assert row["node_id"] == each.client
            assert (row["num_examples"], row["num_steps"]) == (each.num_examples, each.num_steps)
            found = [row[name] for name in ("norm", "cosine", "weight", "score", "reason")]
            assert found == [said.norm, said.cosine, said.weight, said.score, said.reason]
            attacks = each.client in made.attackers
            assert row["metrics"].get("attacker", 0) == attacks
            assert row["reason"].startswith("excluded") == attacks
            assert row["sha256"] is None, "there is no file of it"
    lineage = await operator.read(f"potluck://tasks/{task_id}/model/2")
    assert (lineage["parent"], lineage["rule"], len(lineage["made_of"])) == (1, "multi_krum", 10)
    assert {"accuracy.class_7", "step_norm", "participation_fairness", "train_loss"} <= lineage["metrics"].keys()
    assert lineage["metrics"]["participation_fairness"] == 1


async def test_a_simulated_task_is_never_called_anything_else(served: Served, finished: dict[str, Any]) -> None:
    operator, task_id = await served.operator(), finished["task_id"]
    real = await served.task()
    how = {"engine": "vectorized", "attack": "gaussian", "attackers": 0.2, "workers": None, "clients": 10}
    assert finished["simulation"] == how | {"progress": None}
    assert (await served.state_of(real))["simulation"] is None
    said = {task["task_id"]: task["simulated"] for task in (await operator.call("list_tasks"))["tasks"]}
    assert (said[task_id], said[real]) == (True, False)
    card = (await operator.call("export_model", task_id=task_id))["model_card"]
    assert "no node took part; 0.2 of the clients attacked: gaussian" in card
    assert "simulated" not in (await operator.call("export_model", task_id=real))["model_card"]


async def test_its_model_is_used_like_any_other(served: Served, finished: dict[str, Any]) -> None:
    operator, task_id = await served.operator(), finished["task_id"]
    scores = await operator.call("evaluate_model", task_id=task_id)
    assert scores["accuracy"] == finished["rounds"][-1]["accuracy"]
    assert len((await operator.call("predict", task_id=task_id, inputs=[[0.5] * 64]))["labels"]) == 1
    model = (await served.http.get(finished["model"]["url"])).content
    assert hashlib.sha256(model).hexdigest() == finished["rounds"][-1]["sha256"]
    back = await operator.call("control_task", task_id=task_id, action="roll_back", version=1)
    assert back["version"] == 1
    await operator.call("control_task", task_id=task_id, action="roll_back", version=3)
    kinds = [event["kind"] for event in await operator.read("potluck://audit") if event["task_id"] == task_id]
    assert kinds.count("round_closed") == 3
    assert {"task_created", "task_running", "task_finished"} <= set(kinds)


async def test_the_same_request_again_answers_the_same_task(served: Served) -> None:
    operator, request_id = await served.operator(), served.fresh()
    spec = SMALL | {"rounds": 1}
    first = await operator.call("run_simulation", spec=spec, request_id=request_id, target_accuracy=0.9)
    again = await operator.call("run_simulation", spec=spec, request_id=request_id, target_accuracy=0.9)
    assert (again["task_id"], again["new"]) == (first["task_id"], False)
    await until(served, first["task_id"], ended)
    async with refused(served, "invalid_argument", says="another spec"):
        await operator.call("run_simulation", spec=SMALL, request_id=request_id)
    stated = spec | {"stopping": {"target_accuracy": 0.9}}
    async with refused(served, "invalid_argument", says="not simulated in this way"):
        await operator.call("run_simulation", spec=stated, request_id=request_id, **ATTACKED)
    async with refused(served, "invalid_argument", says="not simulated in this way"):
        await operator.call("create_task", spec=stated, request_id=request_id)
    same = await operator.call("run_simulation", spec=stated, request_id=request_id)
    assert same["new"] is False, "a target of the spec and one beside it are the same"


OWN = {"id": "own", "input_shape": [8], "num_classes": 2}


@pytest.mark.parametrize(
    ("changes", "arguments", "code", "says"),
    [
        ({"model": {"id": "nothing"}}, {}, "invalid_spec", "model.id"),
        ({"model": {"id": "hf:a/b"}}, {}, "invalid_spec", "hf:a/b is a pretrained language model"),
        ({"rounds": 0}, {}, "invalid_spec", "rounds"),
        ({"data": OWN}, {}, "invalid_spec", "own data is on its nodes"),
        ({"cohort": {"size": 11}}, {}, "invalid_spec", "a round needs 11 clients, and there are 10"),
        ({"cohort": {"size": 2, "selection": "speed"}}, {}, "invalid_spec", "speed"),
        ({"cohort": {"size": 3}}, {}, "invalid_spec", "to withstand 2 of them"),
        ({}, {"attack": "alie"}, "invalid_argument", "are no attackers"),
        ({}, {"attack": "alie", "attackers": 0.05}, "invalid_argument", "are no attackers"),
        ({}, {"attackers": 0.5}, "invalid_argument", "no attack is named"),
        ({}, {"attack": "rudeness"}, "invalid_argument", "attack"),
        ({}, {"attackers": 1.5}, "invalid_argument", "attackers"),
        ({}, {"engine": "steam"}, "invalid_argument", "engine"),
        ({}, {"workers": 2}, "invalid_argument", "workers belong to"),
        ({}, {"engine": "processes", "workers": 65}, "invalid_argument", "workers"),
        ({"stopping": {"target_accuracy": 0.5}}, {"target_accuracy": 0.6}, "invalid_argument", "0.6"),
    ],
)
async def test_what_cannot_be_simulated_is_refused_before_anything_is_stored(
    served: Served, changes: dict[str, Any], arguments: dict[str, Any], code: str, says: str
) -> None:
    operator = await served.operator()
    async with refused(served, code, says=says):
        await operator.call("run_simulation", spec=SMALL | changes, request_id=served.fresh(), **arguments)


async def test_nodes_neither_join_nor_hear_of_it(served: Served, finished: dict[str, Any]) -> None:
    node = await enrolled(served)
    task_id, real = finished["task_id"], await served.task()
    async with refused(served, "incompatible_node", says="is simulated on the server"):
        await node.join(task_id)
    listed = {task["task_id"] for task in await node.rpc.read("potluck://tasks")}
    assert real in listed
    assert task_id not in listed
    operator = await served.operator()
    assert {member["node_id"] for member in await operator.read("potluck://nodes")} >= {node.node_id}
    assert not any(member["node_id"].startswith("client") for member in await operator.read("potluck://nodes"))
    async with refused(served, "wrong_state", says="is simulated"):
        await operator.call("aggregate_round", task_id=task_id, round=1)
    viewer = served.rpc((await served.token("viewer")).secret)
    async with refused(served, "forbidden"):
        await viewer.call("run_simulation", spec=SMALL, request_id=served.fresh())


async def test_one_runs_and_the_next_waits_its_turn_until_a_cancellation_makes_room(served: Served) -> None:
    operator, first = await begun(served, ENDLESS)
    _, second = await begun(served, SMALL | {"name": "the second"})
    _, third = await begun(served, SMALL | {"name": "the third"})
    at_work = await until(served, first, lambda task: task["version"] >= 2)
    assert at_work["state"] == "running"
    waiting = [await served.state_of(task_id) for task_id in (second, third)]
    assert [task["state"] for task in waiting] == ["created", "created"]
    assert [task["simulation"]["progress"]["waits_for"] for task in waiting] == [1, 2]
    started = await operator.call("control_task", task_id=second, action="start")
    assert (started["state"], started["new"]) == ("created", False), "it begins when it is its turn"
    child = served.federation.simulations.pid(first)
    assert child is not None
    assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, 0)
    async with asyncio.timeout(20):
        await operator.call("control_task", task_id=first, action="cancel")
        begun_now = await until(served, second, lambda task: task["state"] == "running")
        assert begun_now["state"] == "running"
        await gone(child)
    cancelled = await served.state_of(first)
    assert cancelled["state"] == "cancelled"
    assert [each["state"] for each in cancelled["rounds"]][-1] == "void"
    assert len(hashes(cancelled)) == cancelled["version"] >= 2, "the rounds that were over stay"
    for task_id in (second, third):
        assert (await until(served, task_id, ended))["state"] == "finished"


async def test_progress_counts_clients_and_reaches_whoever_watches(served: Served) -> None:
    heard: list[str] = []
    served.federation.shared.notices.listen(lambda topic, subject: heard.append(f"{topic} {subject}"))
    operator, task_id = await begun(served, ENDLESS, engine="loop")
    task = await until(served, task_id, lambda task: (task["simulation"]["progress"] or {}).get("clients_trained", 0))
    progress = task["simulation"]["progress"]
    assert 1 <= progress["clients_trained"] <= progress["clients_selected"] == 10
    assert progress["round"] <= task["round"]
    assert f"progress {task_id}" in heard
    await operator.call("control_task", task_id=task_id, action="cancel")


async def test_a_pause_lets_the_round_end_and_resume_goes_on_from_any_version(served: Served) -> None:
    operator, task_id = await begun(served, SMALL | {"rounds": 2000, "evaluation": {"every": 2000}})
    await until(served, task_id, lambda task: task["version"] >= 2)
    await operator.call("control_task", task_id=task_id, action="pause")
    paused = await until(served, task_id, lambda task: task["rounds"][-1]["state"] == "open")
    assert served.federation.simulations.pid(task_id) is None or paused["version"] == len(hashes(paused))
    back = await operator.call("control_task", task_id=task_id, action="roll_back", version=1)
    assert back["version"] == 1
    await operator.call("control_task", task_id=task_id, action="resume")
    newer = await until(served, task_id, lambda task: task["version"] > paused["version"] + 1)
    number = paused["rounds"][-1]["round"]
    assert next(each["base_version"] for each in newer["rounds"] if each["round"] == number) == 1
    await operator.call("control_task", task_id=task_id, action="cancel")


async def test_simulated_scaffold_is_not_rolled_back_for_its_clients_variates_do_not_follow(served: Served) -> None:
    operator, task_id = await begun(served, SMALL | {"rounds": 2000, "aggregation": {"rule": "scaffold"}})
    await until(served, task_id, lambda task: task["version"] >= 2)
    child = served.federation.simulations.pid(task_id)
    assert child is not None
    await operator.call("control_task", task_id=task_id, action="pause")
    paused = await until(served, task_id, lambda task: task["rounds"][-1]["state"] == "open")
    async with asyncio.timeout(20):
        await gone(child)  # by then what its last round made superfluous is freed, too
    async with refused(served, "wrong_state", says="control variates belong to the last round"):
        await operator.call("control_task", task_id=task_id, action="roll_back", version=1)
    same = await operator.call("control_task", task_id=task_id, action="roll_back", version=paused["version"])
    assert not same["new"]
    await operator.call("control_task", task_id=task_id, action="resume")
    await until(served, task_id, lambda task: task["version"] > paused["version"])
    await operator.call("control_task", task_id=task_id, action="cancel")


@pytest.mark.parametrize("rule", ["fedadam", "scaffold"])
async def test_a_process_that_is_killed_pauses_its_task_which_resumes_to_the_same_bits(
    served: Served, rule: str
) -> None:
    spec = SMALL | {"rounds": 150, "aggregation": {"rule": rule}, "evaluation": {"every": 50}}
    operator, task_id = await begun(served, spec)
    await until(served, task_id, lambda task: task["version"] >= 2)
    child = served.federation.simulations.pid(task_id)
    assert child is not None
    os.kill(child, signal.SIGKILL)
    paused = await until(served, task_id, ended)
    assert paused["state"] == "paused"
    assert "its process was killed (signal 9), most likely because the machine ran out of memory" in paused["reason"]
    assert paused["rounds"][-1]["state"] == "open"
    await operator.call("control_task", task_id=task_id, action="resume")
    task = await until(served, task_id, ended)
    assert (task["state"], task["reason"], task["version"]) == ("finished", "", 150)
    assert hashes(task)[-1] == hashlib.sha256(to_bytes(offline(spec)[-1].weights)).hexdigest()


async def test_training_that_diverges_pauses_the_task_with_the_reason(served: Served) -> None:
    _, task_id = await begun(served, SMALL | {"training": {"learning_rate": 100, "weight_decay": 1, "epochs": 5}})
    task = await until(served, task_id, ended)
    assert (task["state"], task["version"]) == ("paused", 0)
    assert task["reason"].startswith("round 1 could not be simulated: client-0: ")
    assert "lower the learning rate" in task["reason"], "and how to mend it"


async def test_a_target_ends_it_early_with_the_reason(served: Served) -> None:
    _, task_id = await begun(served, ENDLESS | {"evaluation": {"every": 1}}, target_accuracy=0.5)
    task = await until(served, task_id, ended)
    assert task["state"] == "finished"
    assert task["reason"].startswith("target accuracy 0.5 reached in round ")
    assert task["rounds"][-1]["accuracy"] >= 0.5


async def test_a_round_of_updates_that_are_too_long_is_void(served: Served) -> None:
    short = {"aggregation": {"max_update_norm": 1e-6}, "cohort": {"size": 4, "quorum": 2}, "rounds": 2}
    _, task_id = await begun(served, SMALL | short)
    task = await until(served, task_id, ended)
    assert (task["state"], task["version"]) == ("finished", 0)
    assert [each["state"] for each in task["rounds"]] == ["void", "void"]
    assert task["rounds"][0]["reason"] == "0 of the 2 updates of its quorum were within max_update_norm"
    assert (task["rounds"][0]["selected"], task["rounds"][0]["submitted"]) == (4, 0)


async def test_a_server_that_is_to_run_none_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, max_simulations=0) as served:
        operator = await served.operator()
        async with refused(served, "forbidden", says="runs no simulations"):
            await operator.call("run_simulation", spec=SMALL, request_id=served.fresh())


async def test_an_orderly_stop_leaves_no_process_and_the_next_start_goes_on(tmp_path: Path) -> None:
    spec = SMALL | {
        "rounds": 120,
        "cohort": {"size": 4, "selection": "power_of_choice"},
        "aggregation": {"rule": "fedyogi"},
        "evaluation": {"every": 40},
    }
    async with serving(tmp_path) as served:
        _, task_id = await begun(served, spec)
        await until(served, task_id, lambda task: task["version"] >= 3)
        child = served.federation.simulations.pid(task_id)
    assert not lives(child)
    assert not (tmp_path / "simulations").exists()
    async with serving(tmp_path) as served:
        before = await served.state_of(task_id)
        assert 3 <= before["version"] < 120
        task = await until(served, task_id, ended)
    assert task["state"] == "finished"
    assert hashes(task)[-1] == hashlib.sha256(to_bytes(offline(spec)[-1].weights)).hexdigest()


async def test_other_calls_are_answered_while_it_runs(served: Served) -> None:
    operator, task_id = await begun(served, ENDLESS)
    await until(served, task_id, lambda task: task["version"] >= 1)
    for _ in range(5):
        assert (await served.http.get("healthz")).status_code == httpx2.codes.OK
        assert (await operator.call("get_task", task_id=task_id))["state"] == "running"
    await operator.call("control_task", task_id=task_id, action="cancel")
    assert (await until(served, task_id, ended))["state"] == "cancelled"
