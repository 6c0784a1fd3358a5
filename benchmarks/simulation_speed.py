"""How fast whole federations are simulated: Potluck beside pfl and Flower, all clients in every round.

    python -m benchmarks.simulation_speed [--quick] [--clients 100,1000] [--rounds 20] [--repeats 2] [--json FILE]

Digits, a perceptron 64-32-10; each client has 20 examples (shares overlap, the set is small) and takes two SGD steps of
10. Every contender starts from the same weights on the same shares, in a process of its own, with one thread in each
process, in turn. Nobody scores the model between rounds; the accuracy after the last one shows that the same work was
done (orders of examples differ). The median counts, after a warm-up. CPU is that of all processes; memory the peak of
the one process (RSS, torch included), or of several together (PSS, sampled).

Peers are installed once into ~/.cache/potluck-bench with the torch that runs here (--pfl, --flower: elsewhere), and set
up for speed: pfl with data in memory, in one process and as many as there are cores; Flower on Ray, the only backend
that it has, with one core for each client, and with all cores for each, which makes one actor. A peer that cannot be
installed or fails is named with the reason, and the others are measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import flower_home, pfl_home
from benchmarks.contender import ONE_THREAD, outcome
from benchmarks.digits_workload import write
from benchmarks.report import NotMeasured, Report, command, number, spread

PATIENCE_S = 600.0
OURS = "Potluck, vectorized"
BARS = {100: "simulated_100", 1000: "simulated_1000"}
HEAD = ("contender", "a round, s", "CPU-s", "memory, MB", "accuracy", "s ×")
_QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True)
class Way:
    """One contender's set-up: `line` is its program, to which the workload and the numbers of rounds are added."""

    name: str
    peer: str
    line: tuple[str, ...]
    extra: tuple[str, ...] = ()


def ours() -> list[Way]:
    """Every engine; the first is the one that the model gets by default."""
    line = (sys.executable, "-m", "benchmarks.simulated_potluck")
    return [Way(f"Potluck, {engine}", "Potluck", line, (engine,)) for engine in ("vectorized", "loop", "processes")]


def pfl(home: Path) -> list[Way]:
    """One process, and one a core under torchrun, as pfl's guide asks for."""
    binaries = pfl_home.install(home) / "bin"
    module, cores = "benchmarks.simulated_pfl", len(os.sched_getaffinity(0))
    torchrun = (str(binaries / "torchrun"), "--standalone", "--nnodes=1", f"--nproc_per_node={cores}", "-m", module)
    name = f"pfl {pfl_home.VERSION}"
    alone = Way(f"{name}, 1 process", name, (str(binaries / "python"), "-m", module))
    return [alone, Way(f"{name}, {cores} processes", name, torchrun)]


def flower(home: Path, quick: bool) -> list[Way]:
    """One actor a core, and, in a full run, one actor."""
    line = (str(flower_home.install_simulation(home) / "bin" / "python"), "-m", "benchmarks.simulated_flower")
    name, cores = f"Flower {flower_home.VERSION}", len(os.sched_getaffinity(0))
    each = Way(f"{name}, {cores} actors", name, line, ("1",))
    return [each] if quick else [each, Way(f"{name}, 1 actor", name, line, (str(cores),))]


def ways(arguments: argparse.Namespace, report: Report) -> list[Way]:
    """Those that can be run here; of the others the report says why not."""
    found = ours()
    peers: dict[str, Callable[[], list[Way]]] = {
        "pfl": lambda: pfl(Path(arguments.pfl)),
        "flower": lambda: flower(Path(arguments.flower), arguments.quick),
    }
    for name, prepare in peers.items():
        if name not in arguments.peers.split(","):
            report.remark(f"{name} was left out, as asked")
            continue
        try:
            found += prepare()
        except NotMeasured as problem:
            report.remark(f"not measured: {problem}")
    return found


def run(arguments: argparse.Namespace) -> Report:
    """Every way, in turn."""
    counts = [int(each) for each in arguments.clients.split(",")]
    report = Report("simulated rounds, every client trains")
    chosen = ways(arguments, report)
    seen: dict[tuple[int, Way], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short path: Ray's sockets are in it
        environment = {**ONE_THREAD, **_QUIET, "FLWR_HOME": folder, "RAY_TMPDIR": folder}
        for clients in counts:
            write(Path(folder) / f"{clients}.npz", clients)
        for clients in counts:
            many = clients >= 1000
            warm_up, rounds = (1, max(2, arguments.rounds // 4)) if many else (2, arguments.rounds)
            for _ in range(arguments.repeats):
                for way in list(chosen):
                    numbers = (str(Path(folder) / f"{clients}.npz"), str(warm_up), str(rounds))
                    try:
                        found = outcome([*way.line, *numbers, *way.extra], environment, PATIENCE_S)
                    except NotMeasured as problem:  # it is not asked again
                        report.remark(f"{way.name}, {clients} clients, was not measured: {problem}")
                        chosen.remove(way)
                        continue
                    seen.setdefault((clients, way), []).append(found)
    if chosen[0].name != OURS:
        raise NotMeasured("; ".join(report.remarks))
    _tell(report, counts, seen)
    return report


def _tell(report: Report, counts: list[int], seen: dict[tuple[int, Way], list[dict[str, Any]]]) -> None:
    rows = []
    for clients in counts:
        mine = {way: runs for (count, way), runs in seen.items() if count == clients}
        default = next(way for way in mine if way.name == OURS)
        usual = statistics.median(_seconds(mine[default]))
        for way, runs in mine.items():
            name, seconds, cpu = f"{clients} clients, {way.name}", _seconds(runs), [each["cpu"] for each in runs]
            ratio = report.add(f"{name}: a round", seconds, "s") / usual
            report.add(f"{name}: CPU a round", cpu, "CPU-s")
            peaks = [max(each["peak"], each["together"]) / 1e6 for each in runs]
            memory = report.add(f"{name}: memory, peak", peaks, "MB")
            scores = [each["accuracy"] for each in runs]
            score = report.add(f"{name}: accuracy after the last round", scores, "share")
            report.add(f"{name}: of {OURS}, a round", ratio, "ratio")
            rows.append([name, spread(seconds), spread(cpu), number(memory), number(score), number(ratio)])
        if clients in BARS:
            report.judge(BARS[clients], usual)
    report.compare(HEAD, rows)
    ours = [found["peak"] / 1e9 for (_, way), runs in seen.items() if way.name == OURS for found in runs]
    report.judge("simulated_memory", max(ours))


def _seconds(runs: list[dict[str, Any]]) -> list[float]:
    return [each for found in runs for each in found["seconds"]]


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        clients=("100,1000", "100,1000", "numbers of clients"),
        rounds=(20, 8, "rounds that count with fewer than 1000 clients; a quarter as many with more"),
        repeats=(2, 1, "processes for each way, in turn"),
        peers=("pfl,flower", "pfl,flower", "peers to measure beside, or none"),
        pfl=(str(pfl_home.HOME), str(pfl_home.HOME), "virtual environment of pfl"),
        flower=(str(flower_home.SIMULATION_HOME), str(flower_home.SIMULATION_HOME), "virtual environment of Flower"),
    )
