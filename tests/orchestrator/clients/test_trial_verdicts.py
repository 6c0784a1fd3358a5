"""What is made of a tried round's answer: code wrote it, so nothing of it is believed that can be measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from federation.spec import parse_spec
from federation.weights import pack_update
from orchestrator.clients import trial
from orchestrator.clients.template import Subject
from orchestrator.clients.trial import Trial, try_client
from orchestrator.sandbox.run import Ran
from resources.workload import Workload

DATA: dict[str, Any] = {"id": "own", "input_shape": [1, 4, 4], "num_classes": 3}
SPEC = parse_spec(
    {
        "name": "t",
        "model": {"id": "logistic"},
        "data": DATA,
        "aggregation": {"max_update_norm": 5.0, "max_examples": 90},
    }
)
SUBJECT = Subject("task-abcdefghijklmnop", SPEC, (1, 4, 4), 3)
ANSWER = {"num_examples": 56, "num_steps": 2, "peak_memory_bytes": 10, "metrics": {}, "seconds": 0.5}
Try = Callable[..., Trial]


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Try:
    """The trial of a process that gives this answer and this update."""
    from federation.weights import to_bytes

    model = tmp_path / "model"
    start = Workload().initial_weights(SPEC)
    model.write_bytes(to_bytes(start))

    def answer(add: float = 0.01, payload: bytes | None = None, attempts: Sequence[str] = (), **changes: Any) -> Trial:
        delta = {name: torch.full_like(tensor, add) for name, tensor in start.items()}

        def run(folder: Path, order: Mapping[str, Any], *_: Any, **__: Any) -> Ran:
            given = {name: value for name, value in (ANSWER | changes).items() if value is not ...}
            update = pack_update(delta) if payload is None else payload
            return Ran(answer=given, payload=update, attempts=attempts, held=["audit hook"])

        monkeypatch.setattr(trial, "run", run)
        return try_client("", SUBJECT, "pytorch", model, round=1, workload=Workload(), hidden=[])

    return answer


def test_a_sound_update_is_accepted_with_losses_that_this_process_measured(answered: Try) -> None:
    found = answered(metrics={"train_loss": 0.0})
    assert found.accepted, found.reason
    assert found.loss_before == pytest.approx(1.1, abs=0.3)
    assert found.loss_after == pytest.approx(found.loss_before, abs=0.1)
    assert found.norm == pytest.approx(0.01 * (3 * 16 + 3) ** 0.5)
    assert "each node's own data stay with it" in found.data


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"add": 10.0}, "exceeds the task's bound 5"),
        ({"add": float("nan")}, "NaN"),
        ({"payload": pack_update({"x": torch.zeros(2)})}, "missing"),
        ({"payload": b"no tensors"}, "safetensors|shorter|header|bytes"),
        ({"num_examples": 0}, "num_examples is 0"),
        ({"num_examples": 91}, "allows 1..90"),
        ({"num_examples": 60}, "counts 60 examples and was given 56"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"num_steps": 10**9}, "the task's training takes 2 on 56 examples"),
        ({"peak_memory_bytes": 10**30}, "beyond measure"),
        ({"metrics": {f"m{number}": 0.0 for number in range(65)}}, "beyond measure"),
        ({"num_steps": "many"}, "something else than a round"),
        ({"metrics": [1]}, "something else than a round"),
        ({"metrics": {"train_accuracy": 3.0}}, "train_accuracy"),
        ({"metrics": {"train_loss": float("nan")}}, "train_loss"),
        ({"seconds": ...}, "something else than a round"),
        ({"attempts": ["os.fork"]}, "os.fork"),
    ],
)
def test_what_a_server_would_not_take_is_not_accepted(answered: Try, changes: dict[str, Any], says: str) -> None:
    found = answered(**changes)
    assert not found.accepted
    assert any(each in found.reason for each in says.split("|")), found.reason


def test_an_update_that_changes_nothing_is_noted(answered: Try) -> None:
    assert "changes nothing" in answered(add=0.0).note
    assert answered().note == ""


def test_what_the_code_says_of_itself_fits_any_encoding(answered: Try) -> None:
    found = answered(metrics={"train_loss\ud800\x1b[2J": 0.5, "odd": float("inf")}, seconds=float("nan"))
    assert found.metrics == {"train_loss?\ufffd[2J": 0.5}
    assert found.seconds is None
    assert json.dumps(asdict(found), allow_nan=False).encode()
