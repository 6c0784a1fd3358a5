"""200 nodes that really train, 30 % of which vanish in each of 20 rounds, and come back later.

    python -m benchmarks.churn [--quick] [--nodes 200] [--rounds 20] [--vanish 0.3] [--deadline 20] [--json FILE]

Small work on the digits: an `mlp` of 256, 77 kB an update by the raw lane, seven examples a node. A round waits for
three quarters of the nodes, draws all that are at hand and wants half (`over_selection` 2); its quorum is a quarter.
Nodes that vanished a moment ago still count as at hand, for the server cannot know. See `benchmarks.churn_crowd` for
how they vanish. A round is in time when it is over two seconds after its deadline at the latest, its fold, score and
commit included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections import Counter
from typing import Any

from benchmarks.process import Peak, cpu_seconds, memory
from benchmarks.report import NotMeasured, Report, command
from benchmarks.serving import OPERATOR, Serving, end, potluck
from benchmarks.wire import Wire

PROCESSES = 2
GRACE_S = 2.0
PATIENCE_S = 1800.0


def spec(nodes: int, rounds: int, deadline: float) -> dict[str, Any]:
    """A task that learns the digits from very small shares."""
    return {
        "name": "churn",
        "model": {"id": "mlp", "options": {"hidden": 256}},
        "data": {"id": "digits", "partition": {"parts": nodes, "min_examples": 1}, "holdout": 0.1},
        "training": {"epochs": 5, "learning_rate": 0.1, "batch_size": 8},
        "cohort": {"size": nodes // 2, "min_nodes": nodes * 3 // 4, "over_selection": 2.0, "quorum": nodes // 4},
        "evaluation": {"server": True, "nodes": False},
        "rounds": rounds,
        "deadline_s": deadline,
    }


async def measure(serving: Serving, arguments: argparse.Namespace) -> Report:
    """The task from beginning to end."""
    nodes, rounds = arguments.nodes, arguments.rounds
    operator = Wire(*serving.address, OPERATOR)
    task = await operator.call("create_task", spec=spec(nodes, rounds, arguments.deadline), request_id="churn-task")
    token = (await operator.call("issue_token", role="node", request_id="churn-nodes"))["token"]
    host, port = serving.address
    orders = {"host": host, "port": port, "token": token, "task_id": task["task_id"], "seed": 7}
    orders |= {"vanish": arguments.vanish, "away_s": arguments.deadline / 2, "count": nodes // PROCESSES}
    held, spent = memory(serving.pid), cpu_seconds(serving.pid)
    processes: list[subprocess.Popen[bytes]] = []
    counts: Counter[str] = Counter()
    try:
        with Peak(serving.pid, every_s=0.02) as peak:
            processes += [_crowd() for _ in range(PROCESSES)]
            answers = [
                asyncio.to_thread(_obey, process, orders | {"first": number * (nodes // PROCESSES)})
                for number, process in enumerate(processes)
            ]
            for answer in await asyncio.gather(*answers):
                counts.update(answer)
    finally:
        for process in processes:
            end(process)
    spent = cpu_seconds(serving.pid) - spent
    task = await operator.call("get_task", task_id=task["task_id"])
    report = Report(f"churn: {nodes} nodes, {arguments.vanish:.0%} vanish in each of {rounds} rounds")
    _rounds(report, task, arguments.deadline)
    report.add("server CPU a round", spent / rounds, "CPU-s")
    report.add("server memory (PSS) before", held.pss / 1e6, "MB")
    report.add("server memory (RSS) at the peak", peak.rss / 1e6, "MB")
    report.add("server memory (PSS) after", memory(serving.pid).pss / 1e6, "MB")
    for name, count in sorted(counts.items()):
        report.add(f"nodes: {name}", count, "times")
    return report


def _crowd() -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "benchmarks.churn_crowd"]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _obey(process: subprocess.Popen[bytes], orders: dict[str, Any]) -> dict[str, int]:
    answer, _ = process.communicate(json.dumps(orders).encode() + b"\n", timeout=PATIENCE_S)
    if process.returncode:
        raise NotMeasured(f"a process of nodes ended with exit code {process.returncode}; its message is above")
    counts: dict[str, int] = json.loads(answer.splitlines()[-1])
    return counts


def _rounds(report: Report, task: dict[str, Any], deadline: float) -> None:
    rounds = task["rounds"]
    over = [each for each in rounds if each["state"] in ("closed", "void")]
    in_time = [each for each in over if each["seconds"] is not None and each["seconds"] <= deadline + GRACE_S]
    report.add("a round, from its selection to its end", [each["seconds"] for each in over], "s")
    report.add("updates in a round", [each["submitted"] for each in over], "updates")
    report.add("nodes selected for a round", [each["selected"] for each in over], "nodes")
    report.add("rounds closed", sum(each["state"] == "closed" for each in rounds), "rounds")
    report.add("rounds void", sum(each["state"] == "void" for each in rounds), "rounds")
    scores = [each["accuracy"] for each in rounds if each["accuracy"] is not None]
    report.add("accuracy after the first round", scores[0], "share")
    report.add("accuracy after the last round", scores[-1], "share")
    report.judge("churn", len(in_time) / len(rounds))
    if scores[-1] <= scores[0]:
        report.remark("the accuracy did not rise")


def run(arguments: argparse.Namespace) -> Report:
    """Starts the server and measures."""
    with potluck() as serving:
        return asyncio.run(measure(serving, arguments))


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        nodes=(200, 20, "nodes"),
        rounds=(20, 4, "rounds"),
        vanish=(0.3, 0.3, "share of assignments that end in vanishing"),
        deadline=(20.0, 5.0, "seconds that a round may take"),
    )
