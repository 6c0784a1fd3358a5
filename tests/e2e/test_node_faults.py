"""A node killed, halted or without room at each step of a round: it goes on, delivers once, and the bits are the same.

The steps are those of `federation.fault_points`; `fault_table` collects what came of each.
"""

from __future__ import annotations

import re
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from cutting_proxy import CuttingProxy
from fault_table import record
from machine import Machine, spec
from node_lives import NodeLives

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

ROUNDS = 15
HIDDEN = 800
"""Units in each hidden layer: a model of 2.8 MB, which is three pieces of the raw lane and two chunks in-band."""
STEPS = 6
"""Of a node in a round: 2 epochs over 647 examples in batches of 220."""
RARELY = ("--checkpoint-every", "1000")
"""No checkpoint is due; without this flag there is one after every step."""


def heavy(rounds: int, **changes: Any) -> dict[str, Any]:
    """A task with large messages and short training. However many rounds: the first ones are the same."""
    return spec(
        model={"id": "mcmahan_2nn", "options": {"hidden": HIDDEN}},
        training={"epochs": 2, "batch_size": 220, "learning_rate": 0.1, "momentum": 0.9},
        rounds=rounds,
        **changes,
    )


@pytest.fixture
def nodes() -> Iterator[Callable[[Machine, str, int], NodeLives]]:
    with ExitStack() as stack:

        def make(machine: Machine, name: str, index: int) -> NodeLives:
            node = NodeLives(machine.folder, name, index)
            stack.callback(node.end)
            return node

        yield make


@dataclass
class Federation:
    """A server, a task, and the two nodes that it takes."""

    machine: Machine
    task_id: str
    token: str
    ada: NodeLives
    grace: NodeLives
    killed: list[str] = field(default_factory=list)

    def start(self, node: NodeLives, *flags: str, fault: str | None = None, url: str | None = None) -> None:
        node.start(url or self.machine.url, self.task_id, self.token, *flags, fault=fault)

    async def finished(self) -> list[str]:
        """Waits until the task is finished; the SHA-256 of every round's model."""
        task = await self.machine.wait_for(self.task_id, lambda task: task["state"] == "finished", timeout=90)
        assert {each["state"] for each in task["rounds"]} == {"closed"}
        return [each["sha256"] for each in task["rounds"]]

    def updates(self) -> list[tuple[int, int]]:
        """How many updates each round has in the database, by round."""
        with closing(sqlite3.connect(f"file:{self.machine.data_dir}/potluck.db?mode=ro", uri=True)) as database:
            query = "SELECT round, count(*) FROM updates WHERE task_id = ? GROUP BY round ORDER BY round"
            return database.execute(query, (self.task_id,)).fetchall()


async def federation(
    machine: Machine, make: Callable[[Machine, str, int], NodeLives], rounds: int, name: str
) -> Federation:
    created = await machine.call("create_task", spec=heavy(rounds), request_id=f"faults-{name}")
    return Federation(
        machine, created["task_id"], await machine.node_token(), make(machine, "ada", 0), make(machine, "grace", 1)
    )


async def undisturbed(machine: Machine, make: Callable[[Machine, str, int], NodeLives], rounds: int) -> list[str]:
    """The same task with nodes that nothing happens to: what every disturbed one has to come to."""
    if len(_undisturbed) < rounds:
        calm = await federation(machine, make, rounds, "undisturbed")
        for node in (calm.ada, calm.grace):
            calm.start(node, *RARELY)
        _undisturbed[:] = await calm.finished()
        assert [node.died() for node in (calm.ada, calm.grace)] == [0, 0]
        assert len(set(_undisturbed)) == rounds, "every round changed the model"
        assert calm.ada.files() == {}, "nothing is kept of a task that is over"
    return _undisturbed[:rounds]


_undisturbed: list[str] = []


@dataclass(frozen=True)
class Kill:
    """Where a life ends, in the round after the one that it has to finish first; and what the next life says then."""

    point: str
    step: str
    then: str
    flags: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        return f"kill@{self.point}"


GOING_ON = r"round 1: going on after step (\d+) of 200"
FINISHED_BEFORE = r"round {round}: its update was finished before"
AFTER_STEP = r"round {round}: going on after step {step} of 6"
ANEW = r"round {round}: training from model version"

# From a round's last step to its first: so the life that finishes the round before passes no point too early, but for
# those counted here (`:2`: the second time).
KILLS = [
    Kill("node_receipt_received", "the receipt is there, the disk does not know", FINISHED_BEFORE),
    Kill("node_update_sent:2", "submit_update answered, the answer not read", FINISHED_BEFORE),
    Kill("node_upload_complete", "all bytes are sent, not submitted", FINISHED_BEFORE),
    Kill("node_upload_partly", "in the middle of the PUT", FINISHED_BEFORE),
    Kill("node_chunk_sent:3", "in the middle of the chunks", FINISHED_BEFORE, ("--lane", "inband")),
    Kill("node_upload_announced:2", "begin_upload answered", FINISHED_BEFORE),
    Kill("node_update_stored", "the update is finished and on disk", FINISHED_BEFORE),
    Kill("node_state_unsealed:7", "while the update is written", AFTER_STEP.replace("{step}", "6")),
    Kill("node_checkpoint_written:4", "a checkpoint is written", AFTER_STEP.replace("{step}", "4")),
    Kill("node_state_unsealed:6", "while a checkpoint is written", AFTER_STEP.replace("{step}", "2")),
    Kill("node_step_done:8", "after a step, before its checkpoint", AFTER_STEP.replace("{step}", "3")),
    Kill("node_model_downloaded:2", "the model is downloaded", ANEW),
    Kill("node_download_partly", "in the middle of the download", ANEW),
    Kill("node_assignment_received:2", "the assignment is received", ANEW),
]


async def test_a_node_killed_at_any_step_goes_on_where_it_was_and_delivers_once(
    machine: Machine, nodes: Callable[[Machine, str, int], NodeLives]
) -> None:
    machine.start_server()
    lost = await _lose_two_of_three(machine, nodes)
    expected = await undisturbed(machine, nodes, ROUNDS)
    it = await federation(machine, nodes, ROUNDS, "killed")
    it.start(it.grace, *RARELY)
    for number, kill in enumerate(KILLS, start=1):
        it.start(it.ada, *kill.flags, fault=kill.fault)
        if number > 1:
            it.ada.says(KILLS[number - 2].then.format(round=number - 1))
        assert it.ada.killed()
        seen = it.ada.said().split(f"round {number}: ")
        assert len(seen) > 1 or kill.point.startswith(("node_download", "node_assignment")), it.ada.said()
    it.start(it.ada, fault="kill@node_handshake_done")
    assert it.ada.killed()
    it.start(it.ada, fault="kill@node_evaluated")
    it.ada.says(KILLS[-1].then.format(round=len(KILLS)))
    hashes = await it.finished()
    assert it.ada.killed()
    it.start(it.ada)
    assert it.ada.died() == 0
    assert f"model version {ROUNDS}: accuracy" in it.ada.said()
    assert it.grace.died() == 0
    assert hashes == expected
    assert it.updates() == [(number, 2) for number in range(1, ROUNDS + 1)]
    assert it.ada.files() == {}
    for kill in KILLS:
        record(f"node: {kill.step}", "SIGKILL", _outcome(kill.then))
    await lost()
    record("node: handshake done", "SIGKILL", _outcome(ANEW))
    record("node: final model scored, not reported", "SIGKILL", "scored again, reported once; same bits")


async def _lose_two_of_three(
    machine: Machine, make: Callable[[Machine, str, int], NodeLives]
) -> Callable[[], Awaitable[None]]:
    """A round from which one node never comes back, and another is silent for longer than its lease; the rest of the
    test goes on meanwhile. Returns what has to hold at its end."""
    cohort = {"size": 3, "min_nodes": 3, "quorum": 1}
    data = {"id": "digits", "partition": {"kind": "iid", "parts": 3}}
    created = await machine.call(
        "create_task", spec=spec(cohort=cohort, data=data, rounds=1, lease_s=1), request_id="faults-lost"
    )
    task_id, token = created["task_id"], await machine.node_token()
    there, gone, silent = (make(machine, name, index) for index, name in enumerate(("there", "gone", "silent")))
    there.start(machine.url, task_id, token)
    gone.start(machine.url, task_id, token, fault="kill@node_step_done:2")
    silent.start(machine.url, task_id, token, fault="stop@node_step_done:3")
    assert gone.killed()
    silent.halted()

    async def at_the_end() -> None:
        task = await machine.wait_for(task_id, lambda task: task["state"] == "finished", timeout=60)
        assert [(each["state"], each["selected"], each["submitted"]) for each in task["rounds"]] == [("closed", 3, 1)]
        silent.signal(signal.SIGCONT)
        assert silent.died() == 0
        assert "round 1 went on without this node" in silent.said()
        assert there.died() == 0
        record("node: training, and it never returns", "SIGKILL", "the lease runs out; the round closes without it")
        record("node: training", "SIGSTOP beyond the lease, SIGCONT", "the round closed without it; it goes on")

    return at_the_end


def _outcome(then: str) -> str:
    what = {FINISHED_BEFORE: "not trained again", ANEW: "trained, nothing had been"}.get(
        then, "goes on from the checkpoint"
    )
    return f"{what}; one update a round; same bits as undisturbed"


async def test_every_node_killed_and_back_and_a_server_that_restarts_meanwhile(
    machine: Machine, nodes: Callable[[Machine, str, int], NodeLives]
) -> None:
    machine.start_server()
    expected = await undisturbed(machine, nodes, 8)
    it = await federation(machine, nodes, 8, "all")
    it.start(it.ada, fault="kill@node_checkpoint_written:4")
    it.start(it.grace, fault="kill@node_upload_partly")
    assert it.ada.killed()
    assert it.grace.killed()
    it.start(it.ada, fault="stop@node_step_done:6")  # 2 steps to the end of round 1, 4 of round 2
    it.start(it.grace)
    it.ada.says("round 1: going on after step 4 of 6")
    it.grace.says("round 1: its update was finished before")
    record("node: training; uploading", "SIGKILL of every node", "all go on where they were; same bits as undisturbed")

    it.ada.halted()
    machine.kill_server()
    it.ada.signal(signal.SIGCONT)
    it.ada.says("round 2: .* update accepted")
    assert len(re.findall("round 2: training", it.ada.said())) == 1, "it did not begin again"
    record("node: training", "SIGKILL of the server, restart", "training goes on; same bits as undisturbed")

    for point, flags in (("node_upload_partly", ()), ("node_chunk_sent", ("--lane", "inband"))):
        it.ada.signal(signal.SIGTERM)
        assert it.ada.died() == 128 + signal.SIGTERM
        it.start(it.ada, *flags, fault=f"stop@{point}")
        it.ada.halted()
        number = re.findall(r"round (\d+):", it.ada.said())[-1]
        machine.kill_server()
        it.ada.signal(signal.SIGCONT)
        it.ada.says(f"round {number}: .* update accepted")
        assert len(re.findall(f"round {number}: training", it.ada.said())) <= 1, "it did not train again"
        lane = "chunks" if flags else "PUT"
        record(f"node: in the middle of the {lane}", "SIGKILL of the server, restart", "sent again, not trained again")
    assert await it.finished() == expected
    assert it.updates() == [(number, 2) for number in range(1, 9)]


async def test_a_node_that_is_asked_to_leave_says_goodbye_and_goes_on_next_time(
    machine: Machine, nodes: Callable[[Machine, str, int], NodeLives]
) -> None:
    machine.start_server()
    training = {"epochs": 40, "batch_size": 150, "learning_rate": 0.1, "momentum": 0.9}  # 200 steps, for one node
    alone = heavy(1) | {"training": training, "cohort": {"size": 1, "min_nodes": 1, "quorum": 1}}
    # No checkpoint is due, so what is kept is kept because the node leaves.
    ada, token, hashes = nodes(machine, "ada", 0), await machine.node_token(), []
    for name in ("calm", "leaving"):
        task_id = (await machine.call("create_task", spec=alone, request_id=f"faults-{name}"))["task_id"]
        kept = 0
        for number in (signal.SIGTERM, signal.SIGINT) if name == "leaving" else ():
            ada.start(machine.url, task_id, token, *RARELY, fault="stop@node_step_done:20")
            if kept:
                assert int(ada.says(GOING_ON)[1]) >= kept
            ada.halted()
            ada.signal(number, signal.SIGCONT)
            assert ada.died() == 128 + number
            assert ada.said().endswith("left\n")
            view = await machine.call("get_task", task_id=task_id)
            assert not view["nodes"][0]["at_hand"], "it said goodbye, so nobody waits for its lease"
            kept += 20
        ada.start(machine.url, task_id, token, *RARELY)
        if kept:
            assert int(ada.says(GOING_ON)[1]) >= kept
        assert ada.died() == 0
        hashes += [each["sha256"] for each in (await machine.call("get_task", task_id=task_id))["rounds"]]
    assert hashes[0] == hashes[1]
    record("node: training", "SIGTERM, Ctrl-C", "goodbye, checkpoint, exit; goes on from there; same bits")


async def test_an_answer_that_is_dropped_after_the_commit_is_asked_for_again(
    machine: Machine, nodes: Callable[[Machine, str, int], NodeLives]
) -> None:
    machine.start_server()
    expected = await undisturbed(machine, nodes, 2)
    it = await federation(machine, nodes, 2, "dropped")
    with CuttingProxy(int(machine.url.rpartition(":")[2]), b"mcp-name: submit_update") as proxy:
        it.start(it.grace)
        it.start(it.ada, url=proxy.url)
        it.ada.says("round 1: .* update accepted")
        assert proxy.cut.is_set()
        assert "no answer from" in it.ada.said()
        assert await it.finished() == expected
        assert it.updates() == [(1, 2), (2, 2)]
        assert it.ada.died() == 0
    record("node: submit_update committed", "the connection is cut before the answer", "the same receipt; goes on")


async def test_a_full_disk_costs_a_node_its_checkpoints_and_nothing_else(
    machine: Machine, nodes: Callable[[Machine, str, int], NodeLives]
) -> None:
    machine.start_server()
    expected = await undisturbed(machine, nodes, 3)
    it = await federation(machine, nodes, 3, "full")
    it.start(it.grace)
    it.start(it.ada, fault="disk_full@node_download_partly")
    assert it.ada.died() == 1
    assert re.search("storage_full: there is no room for the model in .*--state-dir", it.ada.said())
    assert "Traceback" not in it.ada.said()
    record("node: model download", "disk full", "ends with storage_full and what to do; nothing torn")

    it.start(it.ada, fault="disk_full@node_state_unsealed:3")  # the third checkpoint
    it.ada.says("round 1: .* update accepted")
    assert re.search(r"the training cannot be kept in .* \(No space left on device\); going on without", it.ada.said())
    record("node: checkpoint", "disk full", "told; training goes on; same bits")
    it.ada.signal(signal.SIGTERM)
    it.ada.died()

    it.start(it.ada, *RARELY, fault="disk_full@node_state_unsealed")  # the first file without checkpoints: the update
    it.ada.says("round [23]: .* update accepted")
    it.ada.says(r"the update cannot be kept in .* \(No space left on device\); going on without")
    record("node: finished update", "disk full", "told; sent from memory; same bits")
    assert await it.finished() == expected
    assert it.ada.died() == 0
    assert it.ada.files() == {}
