from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, parse_spec
from resources.measure import measure

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.e2e  # each starts an interpreter that imports PyTorch: a few seconds


def spec(model: str = "mlp", data: str = "digits", batch_size: int = 32, **options: int) -> TaskSpec:
    return parse_spec(
        {
            "name": "t",
            "model": {"id": model, "options": options},
            "data": {"id": data},
            "training": {"batch_size": batch_size},
        }
    )


def test_a_step_is_measured_in_a_process_of_its_own() -> None:
    measured = measure(spec())
    assert 0 < measured.seconds_per_step < 1
    assert measured.loss == pytest.approx(math.log(10), abs=0.3)
    assert measured.peak_memory_bytes >= measured.baseline_memory_bytes > 50_000_000
    assert measured.memory_limited is (sys.platform == "linux")


def test_a_step_that_would_not_fit_is_refused_before_it_is_tried() -> None:
    with pytest.raises(Refused, match=r"needs about [\d,]+ MB and the limit is 100 MB") as caught:
        measure(spec("cifar10_cnn", "cifar10", 4096), memory_bytes=100_000_000)
    assert caught.value.code is ErrorCode.INVALID_SPEC
    assert "batch_size" in caught.value.mend


def test_what_cannot_be_built_keeps_its_own_refusal() -> None:
    with pytest.raises(Refused, match=r"model\.options\.depth"):
        measure(spec(depth=3))


def test_the_clock_is_limited() -> None:
    with pytest.raises(Refused, match=r"more than 0\.2 s"):
        measure(spec(), clock_seconds=0.2)


WITHOUT_ESTIMATE = """
import sys
from types import SimpleNamespace
from federation.errors import Refused
from federation.spec import parse_spec
from resources.measure import _step
from resources.workload import Workload

Workload.estimate = lambda self, spec: SimpleNamespace(memory_bytes=0)
spec = {"name": "t", "model": {"id": "mcmahan_cnn"}, "data": {"id": "mnist"}, "training": {"batch_size": 64}}
try:
    print("loss", _step(parse_spec(spec), int(sys.argv[1])).loss)
except Refused as refused:
    print(refused.problem)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces RLIMIT_DATA")
@pytest.mark.parametrize(
    ("megabytes", "outcome"), [(10, "one training step needs more than 10 MB."), (500, "loss 2.3")]
)
def test_the_system_stops_a_step_whose_estimate_was_too_low(megabytes: int, outcome: str) -> None:
    child = [sys.executable, "-c", WITHOUT_ESTIMATE, str(megabytes * 1_000_000)]
    printed = subprocess.run(child, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.startswith(outcome)
