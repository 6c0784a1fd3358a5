"""The command line of a client of one's own, and what stands in for Flower where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_client.flower import FlowerTrainer
from edge_client.own_client import Learnt, Lesson, run_client
from federation.errors import ErrorCode, Refused


def never(lesson: Lesson) -> Learnt:
    raise AssertionError("there is nothing to train")


def test_a_client_that_cannot_begin_says_why_and_how_to_mend_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "nothing")
    assert run_client(never, task_id="task-a", arguments=["http://127.0.0.1:1", "--data", data]) == 1
    assert "neither a file or folder" in capsys.readouterr().err


def test_a_server_out_of_reach_ends_a_client_without_patience(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["http://127.0.0.1:1", "--key", str(tmp_path / "key.pem"), "--patience", "0"]
    assert run_client(never, task_id="task-a", arguments=asked) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_without_flower_its_adapter_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr", None)
    with pytest.raises(Refused, match=r"pip install 'potluck-fl\[flower\]'") as caught:
        FlowerTrainer(object())  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.INCOMPATIBLE_NODE
