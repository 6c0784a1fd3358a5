"""Rounds of Potluck beside rounds of Flower: same payload, 4 nodes as processes, no training.

    python -m benchmarks.flower_rounds [--quick] [--rounds 5] [--runs 2] [--flower FOLDER] [--json FILE]

Flower is installed once into a virtual environment of its own (by default in ~/.cache/potluck-bench), since its
requirements are not Potluck's. Both federations stay up; tasks and runs take turns. Flower: a SuperLink (state in
memory, its default), 4 SuperNodes, and an app in the message API with FedAvg and no evaluation, all defaults left
alone (`benchmarks/flower_app`). Potluck: `potluck serve` (every update synced to disk before it is acknowledged), and 4
node processes as in `benchmarks.round_latency`. A round counts from one round's end to the next one's. CPU and memory
are the server's: Potluck's one process; Flower's SuperLink and the ServerApp processes that it starts (PSS, together).
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.flower_federation import flower
from benchmarks.flower_home import HOME, VERSION, install
from benchmarks.report import Report, command, percentile
from benchmarks.round_latency import one_task, spec
from benchmarks.serving import potluck

NODES = 4
OUR_ROUNDS = 4  # times as many as Flower's: they are short
SIZES: dict[float, dict[str, Any]] = {
    1.05: {"model": "mlp", "hidden": 3500},
    10.1: {"model": "mcmahan_2nn", "hidden": 1552},
}


def run(arguments: argparse.Namespace) -> Report:
    """Starts both federations and measures them in turn."""
    report = Report(f"Potluck beside Flower {VERSION}, {NODES} nodes")
    home = install(Path(arguments.flower))
    seen: dict[tuple[float, str], list[Any]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="potluck-bench-") as folder,
        potluck() as serving,
        flower(home, Path(folder), NODES) as theirs,
    ):
        for number in range(arguments.runs):
            for megabytes, model in SIZES.items():
                task = spec(NODES, arguments.rounds * OUR_ROUNDS, **model)
                ours = asyncio.run(one_task(serving, task, f"{megabytes}-{number}"))
                seen.setdefault((megabytes, "Potluck"), []).append(ours)
                run = theirs.run(megabytes, arguments.rounds, NODES)
                seen.setdefault((megabytes, f"Flower {VERSION}"), []).append(run)
    for (megabytes, who), runs in seen.items():
        report.add(f"{megabytes:g} MB, {who}: a round", [each for run in runs for each in run.seconds], "s")
    for (megabytes, who), runs in seen.items():
        report.add(f"{megabytes:g} MB, {who}: server CPU a round", [run.cpu_s for run in runs], "CPU-s")
    for (megabytes, who), runs in seen.items():
        report.add(f"{megabytes:g} MB, {who}: server memory, peak", [run.peak / 1e6 for run in runs], "MB")
    for megabytes in SIZES:
        medians = [
            percentile([each for run in seen[megabytes, who] for each in run.seconds], 0.5)
            for who in (f"Flower {VERSION}", "Potluck")
        ]
        report.add(f"{megabytes:g} MB: Flower / Potluck, a round", medians[0] / medians[1], "ratio")
    report.remark(
        "Potluck imports torch into its server (RSS), Flower's app here only NumPy (PSS): memory is not alike"
    )
    report.remark("Flower's CPU includes the start of a ServerApp process for each run, as in any use of it")
    return report


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        rounds=(5, 3, f"rounds of a Flower run; a Potluck task has {OUR_ROUNDS} times as many"),
        runs=(2, 1, "runs of each, in turn"),
        flower=(str(HOME), str(HOME), "virtual environment of Flower"),
    )
