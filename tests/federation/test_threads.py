"""How many threads arithmetic takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from federation.threads import use_threads
use_threads(1)
import numpy, torch
from threadpoolctl import threadpool_info
print(torch.get_num_threads(), *(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"))
"""


@pytest.mark.parametrize("start", ["1", "2"])
def test_one_number_holds_for_torch_and_for_numpys_blas(start: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"OPENBLAS_NUM_THREADS": start, "OMP_NUM_THREADS": start},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    counts = done.stdout.split()
    assert len(counts) >= 2
    assert set(counts) == {"1"}
