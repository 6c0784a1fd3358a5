"""What a server was told survives it."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from evidence import rows
from lives import Lives
from machine import Machine, spec
from small_federation import SmallFederation

pytestmark = pytest.mark.anyio


async def _train(machine: Machine, *, kill_between_rounds: bool) -> list[str]:
    machine.start_server()
    token = await machine.node_token()
    created = await machine.call("create_task", spec=spec(), request_id="restart-test")
    task_id = created["task_id"]
    for index in range(2):
        machine.start_node(f"node-{index}", task_id, token, "--index", str(index))
    if kill_between_rounds:
        await machine.wait_for(task_id, lambda task: task["rounds"][0]["state"] != "open")
        await machine.call("control_task", task_id=task_id, action="pause")
        paused = await machine.wait_for(task_id, lambda task: task["rounds"][-1]["state"] == "open")
        machine.kill_server()
        after = await machine.call("get_task", task_id=task_id)
        assert [r["sha256"] for r in after["rounds"]] == [r["sha256"] for r in paused["rounds"]]
        assert after["state"] == "paused"
        await machine.call("control_task", task_id=task_id, action="resume")
    task = await machine.wait_for(task_id, lambda task: task["state"] == "finished")
    return [each["sha256"] for each in task["rounds"]]


async def test_a_killed_server_goes_on_to_the_same_bits(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    killed = await _train(machine, kill_between_rounds=True)
    with type(machine.children)(tmp_path_factory.mktemp("logs")) as children:
        undisturbed = await _train(Machine(tmp_path_factory.mktemp("machine"), children), kill_between_rounds=False)
    assert len(set(undisturbed)) == 3, "every round changed the model"
    assert killed == undisturbed


async def test_what_only_the_write_ahead_log_held_is_there_after_a_kill(lives: Lives, tmp_path: Path) -> None:
    await lives.start()
    federation = SmallFederation(lives)
    await federation.create()
    lives.signal(signal.SIGKILL)
    assert await lives.ended() == -signal.SIGKILL
    database, alone = lives.data_dir / "potluck.db", tmp_path / "alone"
    assert database.with_name("potluck.db-wal").stat().st_size > 0
    alone.mkdir()
    shutil.copy(database, alone)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        rows(alone, "SELECT task_id FROM tasks")
    await lives.start()
    assert (await lives.call("get_task", task_id=federation.task_id))["state"] == "running"
    assert await lives.stop() == 0
    assert not database.with_name("potluck.db-wal").exists()
    assert rows(lives.data_dir, "SELECT task_id FROM tasks") == [(federation.task_id,)]
