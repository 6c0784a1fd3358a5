"""How long a round takes when nobody trains: 4 node processes, a 1 MB model, SQLite synced to disk.

    python -m benchmarks.round_latency [--quick] [--rounds 50] [--nodes 4] [--runs 3] [--json FILE]

Each node asks for work, fetches the model, and sends a zero update back, all through the library that real nodes use.
A round counts from one round's end to the next one's. CPU is the server process's, memory its peak over a whole run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.process import Peak, cpu_seconds, memory
from benchmarks.report import Report, command, percentile
from benchmarks.serving import OPERATOR, Serving, end, potluck
from benchmarks.wire import Wire

HIDDEN = 3500  # 64·h + h + 10·h + 10 values of 4 bytes: 1.05 MB
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Run:
    """A finished task: seconds of each round but the first, the server's CPU seconds a round, its peak in bytes."""

    seconds: list[float]
    cpu_s: float
    peak: int


def spec(nodes: int, rounds: int, model: str = "mlp", hidden: int = HIDDEN) -> dict[str, Any]:
    """A task that is all protocol: no evaluation, no training."""
    return {
        "name": "round latency",
        "model": {"id": model, "options": {"hidden": hidden}},
        "data": {"id": "digits", "partition": {"parts": nodes}},
        "cohort": {"size": nodes, "min_nodes": nodes, "quorum": nodes},
        "evaluation": {"server": False, "nodes": False},
        "rounds": rounds,
        "keep_rounds": 0,
    }


async def one_task(serving: Serving, spec: dict[str, Any], name: str) -> Run:
    """Runs a task to its end with node processes of its own."""
    operator = Wire(*serving.address, OPERATOR)
    task_id = (await operator.call("create_task", spec=spec, request_id=f"rounds-{name}"))["task_id"]
    token = (await operator.call("issue_token", role="node", request_id="rounds-nodes"))["token"]
    line = [sys.executable, "-m", "benchmarks.zero_node", serving.url, task_id, token]
    processes = [await asyncio.to_thread(subprocess.Popen, line) for _ in range(spec["cohort"]["size"])]
    try:
        with Peak(serving.pid) as peak:
            spent = cpu_seconds(serving.pid)
            for process in processes:
                await asyncio.to_thread(process.wait, PATIENCE_S)
            spent = cpu_seconds(serving.pid) - spent
    finally:
        for process in processes:
            end(process)
    ends = await _ends(operator, task_id, spec["rounds"])
    return Run([later - earlier for earlier, later in pairwise(ends)], spent / spec["rounds"], peak.rss)


async def _ends(operator: Wire, task_id: str, rounds: int) -> list[float]:
    """When each version was made; every round has to have made one."""
    ends = []
    for version in range(1, rounds + 1):
        uri = f"potluck://tasks/{task_id}/model/{version}"
        document = await operator.ask("resources/read", {"uri": uri}, name=uri)
        ends.append(float(json.loads(document["contents"][0]["text"])["created_at"]))
    return ends


async def measure(serving: Serving, nodes: int, rounds: int, runs: int) -> Report:
    """The same task again and again, on one server."""
    report = Report(f"round latency, {nodes} nodes, 1.05 MB, {rounds} rounds")
    before = memory(serving.pid)
    done = [await one_task(serving, spec(nodes, rounds), f"{number}") for number in range(runs)]
    report.add("a round, median of each run", [percentile(run.seconds, 0.5) for run in done], "s")
    report.add("a round, all", [each for run in done for each in run.seconds], "s")
    report.add("a round, 90th percentile of each run", [percentile(run.seconds, 0.9) for run in done], "s")
    report.add("server CPU a round", [run.cpu_s for run in done], "CPU-s")
    report.add("server memory (RSS) before", before.rss / 1e6, "MB")
    report.add("server memory (RSS) at the peak", [run.peak / 1e6 for run in done], "MB")
    after = memory(serving.pid)
    report.add("server memory (PSS) after", after.pss / 1e6, "MB")
    report.add("server memory (USS) after", after.uss / 1e6, "MB")
    report.judge("round", report.figures[0].median)
    return report


def run(arguments: argparse.Namespace) -> Report:
    """Starts the server and measures."""
    with potluck() as serving:
        return asyncio.run(measure(serving, arguments.nodes, arguments.rounds, arguments.runs))


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        rounds=(50, 10, "rounds of a task"),
        nodes=(4, 4, "node processes"),
        runs=(3, 1, "tasks, one after the other"),
    )
