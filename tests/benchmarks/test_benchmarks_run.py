"""Each benchmark runs, as small as it gets. What it measures then is worth nothing, and is not looked at."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from typing import Any

import pytest

from benchmarks.__main__ import NAMES

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

SMALL: dict[str, dict[str, Any]] = {
    "round_latency": {"rounds": 3, "nodes": 1, "runs": 1},
    "raw_lane": {"mib": 1, "repeats": 1},
    "fold": {"mb": 1, "repeats": 1, "flower": "/nowhere", "quick": True},
    "fold_while_serving": {"updates": 2, "hidden": 100},
    "noop_call": {"calls": 2, "batches": 1},
    "idle_nodes": {"nodes": 6, "window": 0.1},
    "churn": {"nodes": 4, "rounds": 2, "vanish": 0.3, "deadline": 4.0},
}
NEEDS_THE_NETWORK = {"flower_rounds"}


def test_none_is_forgotten() -> None:
    assert SMALL.keys() | NEEDS_THE_NETWORK == set(NAMES)


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    if name == "idle_nodes":
        monkeypatch.setattr(module, "SETTLE_S", 0.1)
    report = module.run(argparse.Namespace(**({"quick": True} | SMALL[name])))
    assert len(report.figures) > 3
    assert report.judged
    assert not any(math.isnan(value) for figure in report.figures for value in figure.values), report.text()
