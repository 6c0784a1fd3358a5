"""Contenders of a comparison: run in processes of their own, on one workload, and named when they fail."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peer_home, simulation_speed
from benchmarks.contender import outcome
from benchmarks.digits_workload import EXAMPLES, accuracy, perceptron, read, write
from benchmarks.report import NotMeasured, Report
from benchmarks.round_clock import RoundClock

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_last_line_of_json_is_the_outcome() -> None:
    code = 'print("hello"); print(\'{"cpu": 1}\'); print(\'{"cpu": 2}\'); print("bye"); sum(range(2 * 10**7))'
    found = outcome(program(code), {}, 60)
    assert found["cpu"] == 2
    assert found["together"] > 0


def test_a_contender_is_handed_its_environment_and_the_benchmarks() -> None:
    code = "import benchmarks.bars, json, os; print(json.dumps({'said': os.environ['SAID']}))"
    assert outcome(program(code), {"SAID": "this"}, 60)["said"] == "this"


@pytest.mark.parametrize("code", ["raise ValueError('no shares')", "print('done')"])
def test_a_contender_without_an_outcome_is_not_measured(code: str) -> None:
    with pytest.raises(NotMeasured, match=r"exit code [01] .*: (ValueError: no shares|it said nothing)"):
        outcome(program(code), {}, 60)


def test_a_contender_that_takes_too_long_is_ended() -> None:
    with pytest.raises(NotMeasured, match="exit code -15"):
        outcome(program("import threading; threading.Event().wait()"), {}, 0.1)


def test_rounds_of_the_warm_up_do_not_count() -> None:
    clock = RoundClock(warm_up=2, rounds=3)
    for _ in range(6):
        clock.tick()
    said = json.loads(clock.outcome(0.5))
    assert len(said["seconds"]) == 3
    assert said["accuracy"] == 0.5
    assert said["cpu"] >= 0
    assert said["peak"] > 1_000_000


def test_the_clock_counts_what_a_round_started() -> None:
    clock = RoundClock(warm_up=0, rounds=1)
    clock.tick()
    burns = "sum(range(3_000_000)); print('done', flush=True); input()"
    with subprocess.Popen(program(burns), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        clock.tick()
        process.communicate(b"\n")
    assert json.loads(clock.outcome(0.0))["cpu"] > 0.01


def test_every_contender_reads_the_same_shares_and_weights(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write(tmp_path / name, 3)
    one, other = read(tmp_path / "a.npz"), read(tmp_path / "b.npz")
    assert one["shares"].shape == (3, EXAMPLES)
    assert all(len(set(share)) == EXAMPLES for share in one["shares"].tolist())
    assert all(np.array_equal(one[name], other[name]) for name in one)
    model = perceptron(one)
    assert np.array_equal(model[0].weight.detach().numpy(), one["hidden.weight"])
    assert 0 <= accuracy(model, one) < 0.5


def test_an_environment_that_cannot_be_made_is_named_with_pips_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PIP_NO_INDEX", "1")
    with pytest.raises(NotMeasured, match="no-such-peer==1 cannot be installed: ERROR: "):
        peer_home.install(tmp_path / "peer-1", ["no-such-peer==1"])
    assert peer_home.installed(tmp_path / "peer-1") is None


def test_a_peer_that_cannot_be_had_is_named_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(home: Path) -> Path:
        raise NotMeasured("pfl cannot be installed: no network")

    monkeypatch.setattr("benchmarks.pfl_home.install", refuse)
    monkeypatch.setattr("benchmarks.flower_home.install_simulation", lambda home: home)
    report = Report("x")
    arguments = argparse.Namespace(peers="pfl,flower", pfl="/nowhere", flower="/there", quick=True)
    found = simulation_speed.ways(arguments, report)
    assert {way.peer.partition(" ")[0] for way in found} == {"Potluck", "Flower"}
    assert report.remarks == ["not measured: pfl cannot be installed: no network"]
