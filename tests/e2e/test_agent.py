"""`potluck agent` as people start it: a process of its own, without a key for any language model."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from machine import OPERATOR, Machine

from potluck.agent.wish import Exit
from tests.orchestrator.stored import check

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
GOAL = "train a digit classifier on 3 phones, non-IID, 2 rounds"


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("POTLUCK_TOKEN", OPERATOR)
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def agent(url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running agent with no terminal; it is dead when the context is left."""
    command = [sys.executable, "-m", "potluck.cli", "agent", url, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_it_asks_when_nobody_is_there_is_killed_when_the_task_is_made_and_ends_with_a_report_of_one_task(
    machine: Machine,
) -> None:
    machine.start_server()
    with agent(machine.url, GOAL, "--nodes", "3") as process:
        said, _ = process.communicate(timeout=100)
    assert process.returncode == Exit.UNANSWERED, said
    assert "? May I make the task" in said
    assert (await machine.call("list_tasks"))["tasks"] == []

    with agent(machine.url, "--resume", "--yes") as process:
        assert process.stdout is not None
        made = next(line for line in process.stdout if line.startswith("→ create_task"))
        process.send_signal(signal.SIGKILL)
    with agent(machine.url, "--resume", "--yes") as process:
        said, _ = process.communicate(timeout=150)
    assert process.returncode == Exit.DONE, said
    tasks = (await machine.call("list_tasks"))["tasks"]
    task_id = made.split()[2]
    assert [(task["task_id"], task["state"]) for task in tasks] == [(task_id, "finished")]

    task = await machine.call("get_task", task_id=task_id)
    assert len(task["nodes"]) == 3
    for each in task["rounds"]:
        line = f"round {each['round']} of 2: accuracy {each['accuracy']:.3f}, loss {each['loss']:.4f}, 3 of 3 updates"
        assert line in said
    told = await machine.call("summarize_training", task_id=task_id)
    check(told, machine.data_dir, task_id)
    assert told["text"] in said
    scored = re.search(r"→ evaluate_model version=(\d): accuracy (\S+), loss (\S+)", said)
    assert scored is not None
    best = task["best"]
    assert scored.groups() == (str(best["version"]), f"{best['accuracy']:.4f}", f"{best['loss']:.4f}")
    assert OPERATOR not in said
    assert "\x1b" not in said


def test_a_node_that_the_agent_started_ends_when_the_agent_does(tmp_path: Path) -> None:
    """Even of SIGKILL: what tells the node is the end of a pipe."""
    command = [sys.executable, "-m", "potluck.agent.tied", "join", "http://127.0.0.1:1", "--task", "task-x"]
    with subprocess.Popen([*command, "--key", str(tmp_path / "a.pem")], stdin=subprocess.PIPE) as node:
        try:
            assert node.stdin is not None
            node.stdin.close()
            assert abs(node.wait(60)) in (signal.SIGTERM, 128 + signal.SIGTERM)
        finally:
            node.kill()
