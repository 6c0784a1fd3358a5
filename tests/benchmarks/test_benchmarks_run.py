"""Each benchmark runs, as small as it gets. What it measures then is worth nothing, and is not looked at."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.report import Report

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

SMALL = {
    "round_latency": "--rounds 3 --nodes 1 --runs 1",
    "raw_lane": "--mib 1 --repeats 1",
    "fold": "--mb 1 --repeats 1 --flower /nowhere",
    "fold_while_serving": "--updates 2 --hidden 100 --idle 0.2",
    "noop_call": "--calls 2 --batches 1 --warm-up 1",
    "idle_nodes": "--nodes 3 --window 0.1 --settle 0.1",
    "checkpoint_cost": "--steps 3 --runs 1 --every 10 --disk /tmp",
    "rules": "--updates 8 --megabytes 1 --repeats 1 --rules krum,trimmed_mean --flower none",
    "lora_merge": "--adapters 2 --layers 2 --repeats 1 --dense-repeats 1",
    "lora_server": "--adapters 2",
    "simulation_speed": "--clients 4 --rounds 2 --peers none",
    "churn": "--nodes 4 --rounds 2 --deadline 4",
}
NEEDS_THE_NETWORK = {"flower_rounds"}
NEEDS_A_BROWSER = {"web"}  # test_web_benchmark.py


def test_none_is_forgotten() -> None:
    assert SMALL.keys() | NEEDS_THE_NETWORK | NEEDS_A_BROWSER == set(NAMES)


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", *SMALL[name].split(), "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    report = Report.from_json(json.loads(file.read_text()))
    assert report.text() in done.stdout
    assert len(report.figures) > 3
    assert report.judged
    nameless = [figure.what for figure in report.figures if any(map(math.isnan, figure.values))]
    assert not nameless
