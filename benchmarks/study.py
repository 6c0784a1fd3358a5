"""A learning study: cells that are simulated two at a time, kept as they go, within a time that is estimated first.

    python -m benchmarks.mcmahan [--quick] [--estimate] [--minutes 30] [--workers 2] [--state FOLDER] [--json FILE]

Started again it goes on from the rounds that are kept. A cell is kept under its whole spec, its engine, torch's version
and a digest of the code, so that nothing stale is taken for it. Each cell trains in one process with one thread.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.report import NotMeasured, machine
from benchmarks.study_cells import Cell, Outcome
from benchmarks.study_estimate import Pace, Paces, kind, makespan, paces, seconds
from benchmarks.study_rounds import advance, kept
from federation.errors import Refused

STATE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "potluck-bench" / "studies"


@dataclass(frozen=True)
class Study:
    """What is simulated, and how it is told.

    Attributes:
        cells: of a full run, or of a quick one, which needs no downloaded data.
        table: Markdown, of outcomes in the order of the cells.
        remarks: what a reader of the table has to know.
        workers: cells at once, unless the command line says otherwise.
    """

    name: str
    title: str
    cells: Callable[[bool], list[Cell]]
    table: Callable[[Sequence[Outcome]], str]
    remarks: tuple[str, ...]
    workers: int = 2


def main(study: Study) -> None:
    """The command line of a study."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{study.name}", description=study.title)
    parser.add_argument("--quick", action="store_true", help="tiny, on the digits, to see that it works")
    parser.add_argument("--estimate", action="store_true", help="say what it would take, and stop")
    parser.add_argument("--minutes", type=float, default=30, help="stop after so many with what there is (30)")
    parser.add_argument("--workers", type=int, default=study.workers, help=f"cells at once ({study.workers})")
    parser.add_argument("--processes", action="store_true", help="one cell at a time, its clients in all workers")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cells whose names contain it")
    parser.add_argument("--state", type=Path, help=f"where rounds are kept ({STATE / study.name}; --quick: nowhere)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    arguments = parser.parse_args()
    command = shlex.join(["python", "-m", f"benchmarks.{study.name}", *sys.argv[1:]])
    try:
        with tempfile.TemporaryDirectory(prefix="potluck-study-") as passing:
            arguments.state = arguments.state or (Path(passing) if arguments.quick else STATE / study.name)
            found = run(study, arguments, command)
    except NotMeasured as problem:
        raise SystemExit(f"not measured: {problem}") from problem
    except KeyboardInterrupt:
        raise SystemExit("interrupted; started again it goes on from the last finished rounds") from None
    sys.exit(found)


def run(study: Study, arguments: argparse.Namespace, command: str) -> int:
    """Estimate, simulate, tell; the exit code: 1 when a cell was refused.

    Raises:
        NotMeasured: a data set is not here and cannot be fetched.
    """
    began, before = time.time(), machine()
    cells = [cell for cell in study.cells(arguments.quick) if arguments.only in cell.name]
    if arguments.processes:
        cells = [replace(cell, engine="processes") for cell in cells]
    at_once = 1 if arguments.processes else arguments.workers
    need_data(cells)
    with one_thread_each(at_once) as pool:
        timings = paces(cells, pool, arguments.workers)
        print(estimate(study, cells, timings, arguments, at_once), flush=True)
        if arguments.estimate:
            return 0
        outcomes = simulated(cells, timings, arguments, began + 60 * arguments.minutes, pool)
    took = time.time() - began
    text = report(study, outcomes, command, f"{before}; load after {os.getloadavg()[0]:.2f}", took)
    print(text, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(_document(study, outcomes, command, before, took, text), indent=1))
    return int(any(outcome.problem and not outcome.diverged for outcome in outcomes))


def need_data(cells: Sequence[Cell]) -> None:
    """Raises NotMeasured with the reason when examples are missing and cannot be fetched."""
    from resources.datasets import catalogue as datasets

    for data in {cell.spec.data.id for cell in cells}:
        try:
            for split in ("train", "test"):
                if not datasets.present(data, split):
                    datasets.load(data, split)
        except Refused as refused:
            raise NotMeasured(f"{data}: {refused.problem} To mend it: {refused.mend}") from None


def estimate(study: Study, cells: Sequence[Cell], timings: Paces, arguments: argparse.Namespace, at_once: int) -> str:
    """What is left to do and how long it may take, as a table and a sentence."""
    rows, costs, quiet = [], [], []
    for cell in cells:
        timing, before = timings[kind(cell).key], Outcome(cell, kept(cell, arguments.state)[0])
        done = str(len(before.rows))
        if isinstance(timing, str):
            rows.append((cell.name, str(cell.spec.rounds), done, "–", f"refused: {timing}"))
            continue
        costs.append(0.0 if before.over else seconds(cell, timing, len(before.rows)))
        quiet.append(costs[-1] * timing.on_cpu)
        whole = seconds(cell, timing) / cell.spec.rounds
        rows.append((cell.name, str(cell.spec.rounds), done, f"{whole:.2f}", f"{costs[-1] / 60:.1f}"))
    total = makespan(costs, at_once) / 60
    alone = makespan(quiet, at_once) / 60
    shown = markdown(("cell", "rounds, at most", "kept", "s a round", "minutes, at most"), rows)
    fits = "stops then" if total <= arguments.minutes else "stops then with what there is; started again it goes on"
    return (
        f"estimate of {study.name}, from a calibration just now ({machine()}):\n\n{shown}\n\n"
        f"{total:.1f} minutes at most, {at_once} at once ({alone:.1f} if nothing else runs); "
        f"--minutes {arguments.minutes:g}: {fits}; "
        f"rounds are kept in {arguments.state}\n"
    )


def simulated(
    cells: Sequence[Cell], timings: Paces, arguments: argparse.Namespace, deadline: float, pool: Executor
) -> list[Outcome]:
    """The outcomes in the order of the cells; the longest start first."""
    found: dict[str, Outcome] = {}
    jobs, costs = {}, {}
    for cell in cells:
        timing = timings[kind(cell).key]
        if isinstance(timing, Pace):
            costs[cell.name] = seconds(cell, timing, len(kept(cell, arguments.state)[0]))
        else:
            found[cell.name] = Outcome(cell, problem=timing)
    for cell in sorted((cell for cell in cells if cell.name in costs), key=lambda cell: -costs[cell.name]):
        jobs[pool.submit(advance, cell, arguments.state, deadline, arguments.workers)] = cell
    for job in as_completed(jobs):
        outcome = found[jobs[job].name] = job.result()
        score = outcome.last()
        shown = "" if score is None else f", accuracy {score:.4f}"
        print(f"  {outcome.cell.name}: {outcome.state}{shown}", file=sys.stderr, flush=True)
    return [found[cell.name] for cell in cells]


def report(study: Study, outcomes: Sequence[Outcome], command: str, machine: str, took: float) -> str:
    """The study in Markdown: what was run, where, the table, what a reader has to know, and what is missing."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"## {study.title}", "", f"`{command}`, {now}, {took / 60:.1f} minutes; {machine}.", ""]
    lines += [study.table(outcomes), "", *(f"- {remark}" for remark in study.remarks)]
    missing = [f"{each.cell.name} ({each.state})" for each in outcomes if not each.over]
    lines.append(f"- missing: {'; '.join(missing)}." if missing else "- nothing is missing.")
    return "\n".join(lines)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def share(value: float | None) -> str:
    """An accuracy in per cent, with a dash where there is none."""
    return "–" if value is None else f"{100 * value:.2f}"


def _document(
    study: Study, outcomes: Sequence[Outcome], command: str, machine: str, took: float, text: str
) -> dict[str, Any]:
    cells = [
        {
            "name": each.cell.name,
            "key": each.cell.key,
            "state": each.state,
            "loading_s": each.loading_s,
            "identity": each.cell.identity(),
            "rounds": [asdict(row) for row in each.rows],
        }
        for each in outcomes
    ]
    said = {"study": study.name, "command": command, "machine": machine, "seconds": took, "report": text}
    return said | {"cpu": platform.processor() or platform.machine(), "cells": cells}


@contextmanager
def one_thread_each(workers: int) -> Iterator[Executor]:
    """Processes with one thread each, NumPy's sums too; what waits is dropped when the study ends early."""
    context = multiprocessing.get_context("spawn")
    before = dict(os.environ)
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    pool = ProcessPoolExecutor(max_workers=workers, mp_context=context, initializer=_one_thread)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        os.environ.clear()
        os.environ.update(before)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
