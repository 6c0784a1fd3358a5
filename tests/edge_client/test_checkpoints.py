from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edge_client import checkpoints as module
from edge_client.checkpoints import COST, Checkpoints, identity
from edge_client.data import Share
from edge_client.state_folder import StateFolder
from federation.examples import Examples
from federation.spec import TrainingSpec
from federation.training import Training

SPEC = TrainingSpec(epochs=4, batch_size=10, learning_rate=0.1, momentum=0.9)
ASSIGNMENT: dict[str, Any] = {
    "task_id": "task-1",
    "round": 2,
    "model": {"version": 1, "sha256": "ab"},
    "spec": {"training": {"epochs": 4}},
}


def share(first: float = 0.5) -> Share:
    x = torch.linspace(0, 1, 60).reshape(20, 3)
    x[0, 0] = first
    examples = Examples(x, torch.arange(20) % 2)
    return Share(examples, examples)


def training() -> tuple[nn.Module, Training]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    return model, Training(model, share().train, SPEC, seed=1)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path, told.append)


told: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    told.clear()


def mine(**changes: Any) -> dict[str, str | int]:
    options = {"node_id": "node-1", "seed": 7, "threads": 1} | changes
    return identity(ASSIGNMENT, share(), **options)


def test_a_checkpoint_on_disk_leads_to_the_same_bits(folder: StateFolder) -> None:
    model, undisturbed = training()
    kept = Checkpoints(folder, mine(), every_s=0)
    for _ in range(5):
        undisturbed.step()
        kept.after_step(undisturbed)
    while not undisturbed.done:
        undisturbed.step()
    other, resumed = training()
    assert Checkpoints(folder, mine()).resume(resumed)
    assert resumed.at.step == 5
    while not resumed.done:
        resumed.step()
    assert torch.equal(other.state_dict()["weight"], model.state_dict()["weight"])
    assert resumed.result().loss == undisturbed.result().loss
    assert not told


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda: identity(ASSIGNMENT | {"task_id": "task-2"}, share(), node_id="node-1", seed=7, threads=1), "task_id"),
        (lambda: identity(ASSIGNMENT | {"round": 3}, share(), node_id="node-1", seed=7, threads=1), "round"),
        (
            lambda: identity(
                ASSIGNMENT | {"model": {"version": 1, "sha256": "cd"}}, share(), node_id="node-1", seed=7, threads=1
            ),
            "base_sha256",
        ),
        (
            lambda: identity(
                ASSIGNMENT | {"spec": {"training": {"epochs": 5}}}, share(), node_id="node-1", seed=7, threads=1
            ),
            "spec_sha256",
        ),
        (lambda: identity(ASSIGNMENT, share(0.6), node_id="node-1", seed=7, threads=1), "examples_sha256"),
        (lambda: mine(node_id="node-2"), "node_id"),
        (lambda: mine(seed=8), "seed"),
        (lambda: mine(threads=2), "threads"),
        (lambda: mine() | {"library": "torch 0.1"}, "library"),
        (lambda: mine() | {"machine": "other"}, "machine"),
    ],
)
def test_a_checkpoint_of_anything_else_is_ignored_and_said_so(
    folder: StateFolder, change: Callable[[], dict[str, Any]], fact: str
) -> None:
    _, earlier = training()
    earlier.step()
    Checkpoints(folder, mine()).keep(earlier)
    model, fresh = training()
    before = copy.deepcopy(model.state_dict())
    assert not Checkpoints(folder, change()).resume(fresh)
    assert fresh.at.step == 0
    assert torch.equal(model.state_dict()["weight"], before["weight"])
    assert len(told) == 1
    assert f"is not used: its {fact} is " in told[0]
    assert not (folder.path / "training").exists()


def test_a_checkpoint_whose_tensors_do_not_fit_is_ignored_and_said_so(folder: StateFolder) -> None:
    other = nn.Linear(3, 4)
    wider = Training(other, share().train, SPEC, seed=1)
    wider.step()
    Checkpoints(folder, mine()).keep(wider)
    _, fresh = training()
    assert not Checkpoints(folder, mine()).resume(fresh)
    assert fresh.at.step == 0
    assert "is not used: it has other tensors" in told[0]


class Clock:
    """Time that passes when the test says so; writing takes `write_s`, and writes nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: StateFolder, write_s: float) -> None:
        self.now = 100.0

        def slow(*arguments: Any) -> bool:
            self.now += write_s
            return True

        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(folder, "write", slow)


@pytest.mark.parametrize("write_s", [0.001, 0.1, 3.0])
def test_writing_takes_no_more_than_its_share_of_the_time(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, write_s: float
) -> None:
    clock = Clock(monkeypatch, folder, write_s)
    model = nn.Linear(3, 2)
    long = Training(model, share().train, TrainingSpec(epochs=1000, batch_size=10), seed=1)
    kept = Checkpoints(folder, mine(), every_s=10)
    began = clock.now
    while not long.done:
        long.step()
        clock.now += 0.4
        kept.after_step(long)
    assert kept.written >= 5
    first = write_s  # how long the first one takes is not known before
    assert (kept.seconds - first) / (clock.now - began) <= COST
    assert kept.written <= (clock.now - began) / 0.8


def test_an_epochs_end_is_kept_sooner_but_not_for_less_than_a_second_of_work(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, folder, 0.0)
    _, four = training()  # two steps an epoch
    kept, at = Checkpoints(folder, mine(), every_s=10), []
    for _ in range(7):
        four.step()
        clock.now += 0.4
        before = kept.written
        kept.after_step(four)
        at += [four.at.step] * (kept.written - before)
    assert at == [4], "the first end of an epoch after a second"


def test_nothing_is_written_after_the_last_step_since_the_update_follows(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, folder, 0.0)
    _, short = training()
    kept = Checkpoints(folder, mine(), every_s=10)
    while not short.done:
        short.step()
    clock.now += 100
    kept.after_step(short)
    assert kept.written == 0
