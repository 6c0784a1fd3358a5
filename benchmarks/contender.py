"""One contender of a comparison in a process of its own, whatever Python it has: run, watched, its JSON read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.process import family, memory
from benchmarks.report import NotMeasured

ROOT = Path(__file__).parents[1]
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
EVERY_S = 0.5
END_S = 20


def outcome(line: Sequence[str], environment: Mapping[str, str], patience_s: float) -> dict[str, Any]:
    """What the program printed as its last line of JSON, and `together`: the most memory that it and all it started
    held at once, in bytes (PSS, sampled). NotMeasured when it fails or takes too long; it is then ended.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        process = subprocess.Popen(
            line,
            stdout=said,
            stderr=complained,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            start_new_session=True,
        )
        together = _watch(process, patience_s)
        for file in (said, complained):
            file.seek(0)
        answers = [each for each in said.read().splitlines() if each.startswith("{")]
        if process.returncode or not answers:
            last = (complained.read().strip().splitlines() or ["it said nothing"])[-1]
            raise NotMeasured(f"exit code {process.returncode} ({patience_s:.0f} s at most): {last[-500:]}")
        return {**json.loads(answers[-1]), "together": together}


def _watch(process: subprocess.Popen[bytes], patience_s: float) -> int:
    most, until = 0, time.monotonic() + patience_s
    try:
        while process.poll() is None and time.monotonic() < until:
            together = 0
            for pid in family(process.pid):
                try:
                    together += memory(pid).pss
                except OSError:
                    continue  # it has just ended
            most = max(most, together)
            try:
                process.wait(EVERY_S)
            except subprocess.TimeoutExpired:
                continue
    finally:
        _end(process)
    return most


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end, then ends what is left of its session."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def peak_rss() -> int:
    """The most bytes that this process has held; getrusage would count the one that started it, if that was more."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])
