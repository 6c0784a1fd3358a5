"""SCAFFOLD under faults: a node's control variate counts once for each of its updates, whoever is killed and whenever.

What is lost nevertheless is told. The steps are those of `federation.fault_points`.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from evidence import blobs_on_disk, blobs_referred_to, incoming
from fault_table import record
from lives import Lives
from machine import Machine, spec
from node_lives import NodeLives
from small_federation import SmallFederation

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

HIDDEN = 800
"""Units in each hidden layer: a model of 2.8 MB, and an update of twice that: three chunks in-band."""
FINISHED_BEFORE = r"round {round}: its update was finished before"
AFTER_STEP = r"round {round}: going on after step {step} of 6"
ANEW = r"round {round}: training from model version"


@dataclass(frozen=True)
class Kill:
    """Where a life ends, in the round after the one that it has to finish first; and what the next life says then."""

    point: str
    then: str
    flags: tuple[str, ...] = ()


# From a round's last step to its first, as in test_node_faults: the life that finishes the round before passes no point
# too early, but for those counted here (`:2`: the second time).
KILLS = [
    Kill("node_receipt_received", FINISHED_BEFORE),
    Kill("node_update_sent:2", FINISHED_BEFORE),
    Kill("node_upload_complete", FINISHED_BEFORE),
    Kill("node_upload_partly", FINISHED_BEFORE),
    Kill("node_chunk_sent:4", FINISHED_BEFORE, ("--lane", "inband")),
    Kill("node_upload_announced:2", FINISHED_BEFORE),
    Kill("node_update_stored", FINISHED_BEFORE),
    Kill("node_state_unsealed:8", AFTER_STEP.replace("{step}", "6")),  # six checkpoints, the variate, the update
    Kill("node_variate_stored:2", AFTER_STEP.replace("{step}", "6")),
    Kill("node_state_unsealed:9", AFTER_STEP.replace("{step}", "6")),  # variate and update of the round before first
    Kill("node_checkpoint_written:4", AFTER_STEP.replace("{step}", "4")),
    Kill("node_control_downloaded:2", ANEW),
    Kill("node_model_downloaded:2", ANEW),
    Kill("node_assignment_received:2", ANEW),
]
ROUNDS = len(KILLS) + 1


@pytest.fixture
def nodes(machine: Machine) -> Iterator[Callable[[str, int], NodeLives]]:
    with ExitStack() as stack:

        def make(name: str, index: int) -> NodeLives:
            node = NodeLives(machine.folder, name, index)
            stack.callback(node.end)
            return node

        yield make


class Federation:
    """A task with control variates, and its two nodes."""

    def __init__(self, machine: Machine, make: Callable[[str, int], NodeLives]) -> None:
        self.machine = machine
        self.ada, self.grace = make("ada", 0), make("grace", 1)
        self.task_id = self.token = ""

    async def create(self, name: str, rounds: int, **changes: Any) -> Federation:
        raw = spec(
            model={"id": "mcmahan_2nn", "options": {"hidden": HIDDEN}},
            data={"id": "digits", "partition": {"kind": "dirichlet", "alpha": 1000.0, "parts": 2, "seed": 1}},
            training={"epochs": 2, "batch_size": 220, "learning_rate": 0.1, "max_steps": 6},
            aggregation={"rule": "scaffold"},
            rounds=rounds,
            **changes,
        )
        self.task_id = (await self.machine.call("create_task", spec=raw, request_id=f"scaffold-{name}"))["task_id"]
        self.token = await self.machine.node_token()
        return self

    def start(self, node: NodeLives, *flags: str, fault: str | None = None) -> None:
        node.start(self.machine.url, self.task_id, self.token, *flags, fault=fault)

    async def finished(self) -> list[str]:
        """Waits until the task is finished; the SHA-256 of every round's model."""
        task = await self.machine.wait_for(self.task_id, lambda task: task["state"] == "finished", timeout=300)
        assert {each["state"] for each in task["rounds"]} == {"closed"}
        return [each["sha256"] for each in task["rounds"]]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the database; `?` is the task."""
        with closing(sqlite3.connect(f"file:{self.machine.data_dir}/potluck.db?mode=ro", uri=True)) as database:
            return database.execute(sql, (self.task_id,)).fetchall()

    def last_state(self) -> str:
        """The SHA-256 of the last version's c."""
        ((sha256,),) = self.query(
            "SELECT state_sha256 FROM model_versions WHERE task_id = ? ORDER BY version DESC LIMIT 1"
        )
        return str(sha256)

    def losses(self) -> list[tuple[Any, ...]]:
        return self.query("SELECT actor FROM events WHERE task_id = ? AND kind = 'variate_lost'")

    def variates(self, node: NodeLives) -> list[Path]:
        return sorted(node.state.glob("*/variate-*"))


async def test_a_node_killed_at_any_step_has_just_the_variate_that_the_server_counts_on(
    machine: Machine, nodes: Callable[[str, int], NodeLives]
) -> None:
    machine.start_server()
    calm = await Federation(machine, nodes).create("undisturbed", ROUNDS)
    for node in (calm.ada, calm.grace):
        calm.start(node, "--checkpoint-every", "1000")
    expected = await calm.finished()
    assert [node.died() for node in (calm.ada, calm.grace)] == [0, 0]
    assert len(set(expected)) == ROUNDS

    it = await Federation(machine, nodes).create("killed", ROUNDS)
    it.start(it.grace, "--checkpoint-every", "1000")
    for number, kill in enumerate(KILLS, start=1):
        it.start(it.ada, *kill.flags, fault=f"kill@{kill.point}")
        if number > 1:
            it.ada.says(KILLS[number - 2].then.format(round=number - 1))
        assert it.ada.killed()
        assert len(it.variates(it.ada)) <= 3, "two, and one that was being written"
    it.start(it.ada)
    it.ada.says(KILLS[-1].then.format(round=len(KILLS)))
    assert await it.finished() == expected
    assert it.last_state() == calm.last_state()
    assert [it.ada.died(), it.grace.died()] == [0, 0]
    counts = it.query("SELECT round, count(*) FROM updates WHERE task_id = ? GROUP BY round ORDER BY round")
    assert counts == [(number, 2) for number in range(1, ROUNDS + 1)]
    assert it.losses() == []
    assert it.ada.files() == {}, "nothing is kept of a task that is over"
    for kill in KILLS:
        record(f"scaffold node: {kill.point}", "SIGKILL", "its variate counts once; same bits as undisturbed")


async def test_a_server_killed_between_rounds_goes_on_to_the_same_c(
    machine: Machine, nodes: Callable[[str, int], NodeLives]
) -> None:
    machine.start_server()
    found = []
    for name in ("calm", "killed"):
        it = await Federation(machine, nodes).create(name, 4)
        for node in (it.ada, it.grace):
            it.start(node)
        if name == "killed":
            for number in (1, 2, 3):
                it.ada.says(f"round {number}: .* update accepted")
                machine.kill_server()
        found.append((await it.finished(), it.last_state()))
        assert [it.ada.died(), it.grace.died()] == [0, 0]
        assert it.losses() == []
    assert found[0] == found[1]
    record("scaffold server: between rounds", "SIGKILL, restart", "same model and c as undisturbed")


@pytest.mark.parametrize("what", ["the variate", "the whole folder"])
async def test_a_node_that_has_lost_its_variate_says_so_and_goes_on(
    machine: Machine, nodes: Callable[[str, int], NodeLives], what: str
) -> None:
    machine.start_server()
    it = await Federation(machine, nodes).create("lost", 3)
    it.start(it.grace)
    it.start(it.ada, fault="kill@node_assignment_received:2")
    assert it.ada.killed()
    (variate,) = it.variates(it.ada)
    if what == "the variate":
        variate.unlink()
    else:
        shutil.rmtree(it.ada.state)
    it.start(it.ada)
    it.ada.says("control variate, of round 1, is lost: it goes on from the mean of all")
    await it.finished()
    assert [it.ada.died(), it.grace.died()] == [0, 0]
    assert "round 2, is lost" not in it.ada.said(), "of the next round it has one again"
    task = await machine.call("get_task", task_id=it.task_id)
    assert {node["name"]: node.get("variates_lost") for node in task["nodes"]} == {"ada": 1, "grace": None}
    assert len(it.losses()) == 1
    assert f"has lost its control variate of task {it.task_id}" in machine.said()
    record(f"scaffold node: {what} is gone", "removed from its disk", "told in log, journal and get_task; goes on")


async def test_a_variate_that_the_disk_does_not_take_counts_as_long_as_the_process_lives(
    machine: Machine, nodes: Callable[[str, int], NodeLives]
) -> None:
    machine.start_server()
    found = []
    for fault in (None, "disk_full@node_state_unsealed:7"):  # after six checkpoints: the variate
        it = await Federation(machine, nodes).create(f"disk-{fault is None}", 3)
        it.start(it.grace)
        it.start(it.ada, fault=fault)
        found.append((await it.finished(), it.last_state()))
        assert [it.ada.died(), it.grace.died()] == [0, 0]
        assert ("the variate-1 cannot be kept" in it.ada.said()) == (fault is not None)
        assert it.losses() == []
    assert found[0] == found[1]
    record("scaffold node: its variate", "disk full", "told; kept in memory; same bits")


THREE_ROUNDS: dict[str, Any] = {"aggregation": {"rule": "scaffold"}, "rounds": 3, "keep_rounds": 5}


class Calm:
    """The versions of a run that nothing happens to, made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions: list[tuple[Any, ...]] = []

    async def versions(self) -> list[tuple[Any, ...]]:
        if not self._versions:
            lives = Lives(self._folder)
            try:
                await lives.start()
                await SmallFederation(lives).live(**THREE_ROUNDS)
                assert await lives.stop() == 0
            finally:
                lives.end()
            self._versions = versions(lives)
        return self._versions


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    return Calm(tmp_path_factory.mktemp("calm"))


@pytest.mark.parametrize("point", ["round_folded", "new_model_stored", "next_round_written", "round_closed"])
async def test_a_server_killed_while_it_makes_c_makes_it_again(point: str, lives: Lives, calm: Calm) -> None:
    expected = await calm.versions()
    federation = SmallFederation(lives)
    await lives.start(f"kill@{point}:2")
    token = await federation.create(**THREE_ROUNDS)

    async def back_to_life() -> None:
        assert await lives.ended() == -signal.SIGKILL
        await lives.start()

    await asyncio.gather(federation.train(token), back_to_life())
    assert await lives.stop() == 0
    assert versions(lives) == expected
    assert len({row[3] for row in expected}) == 4, "every round made another c, and none is pruned"
    assert incoming(lives.data_dir) == []
    assert blobs_on_disk(lives.data_dir) == blobs_referred_to(lives.data_dir)


def versions(lives: Lives) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{lives.data_dir}/potluck.db?mode=ro", uri=True)) as database:
        query = "SELECT version, parent, sha256, state_sha256, state_since FROM model_versions ORDER BY version"
        return database.execute(query).fetchall()
