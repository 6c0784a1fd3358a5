"""What `potluck watch` says when nothing comes, and with which exit code it ends."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

import potluck.watch
from edge_client.answers import Lost
from edge_client.endpoint import Endpoint
from potluck.cli import main


def test_one_line_says_that_it_waits_for_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(Lost):
        potluck.watch.watch(Endpoint(url), "task-1", patience_s=0.6)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"waiting for {url}: ")


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("cancelled", 0), ("paused", 3)])
def test_the_exit_code_tells_a_task_that_is_over_from_one_to_resume(
    state: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def follow(server: object, task_id: str) -> dict[str, Any]:
        return {"state": state, "rounds": [{"accuracy": 0.5}], "reason": ""}

    monkeypatch.setattr(potluck.watch, "follow", follow)
    monkeypatch.setattr(sys, "argv", ["potluck", "watch", "http://127.0.0.1:7860/mcp", "task-1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0) == code
    said = capsys.readouterr().out
    assert said.startswith(f"{state}; accuracy 0.500")
    resumes = "resume it: potluck call http://127.0.0.1:7860 control_task task_id=task-1 action=resume"
    assert (resumes in said) is (state == "paused")


def test_a_task_ends_with_its_accuracy_or_without_one_with_its_loss() -> None:
    unmeasured = {"accuracy": None, "loss": None}
    assert potluck.watch._last_score([{"accuracy": 0.5, "loss": 1.5}, unmeasured]) == "accuracy 0.500"
    assert potluck.watch._last_score([{"accuracy": None, "loss": 2.25}, unmeasured]) == "loss 2.2500"
    assert potluck.watch._last_score([unmeasured]) == ""
