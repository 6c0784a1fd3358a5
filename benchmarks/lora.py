"""Federated fine-tuning by adapters: what merging costs, what the server holds, and what is learned.

    python -m benchmarks.lora [--quick] [--estimate] [--minutes 30] [--workers 2] [--parts merge server learning]
                              [--state FOLDER] [--json FILE]

`lora_merge` and `lora_server` come first, each in a process of its own; `--quick` leaves them out, for they have one of
their own. Then the study: SmolLM2-135M, four speakers of Shakespeare's plays as nodes, every method with three seeds,
in processes with one thread each. It says what it may take, stops after `--minutes` with a table of what there is, and
started again goes on (`benchmarks.lora_rounds`). Base models are in POTLUCK_MODELS, the speeches in POTLUCK_DATA;
`--quick` needs neither.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from benchmarks.lora_cells import BASE, EXACT, LOCAL, OWN_A, Cell, Scale, cells
from benchmarks.lora_estimate import done, minutes, paces, seconds
from benchmarks.lora_home import need_speeches, parameters, scale_of
from benchmarks.lora_rounds import Outcome, advance
from benchmarks.lora_table import difference, finished, paired, table, verdict
from benchmarks.report import NotMeasured, machine
from benchmarks.study import STATE, markdown, one_thread_each

TITLE = "Adapters: SmolLM2-135M, four speakers, three rounds"
PARTS = ("merge", "server", "learning")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lora", description=TITLE)
    parser.add_argument("--quick", action="store_true", help="tiny, on a Llama in the repository, to see that it works")
    parser.add_argument("--estimate", action="store_true", help="say what the study would take, and stop")
    parser.add_argument(
        "--minutes", type=float, default=30, help="stop the study after so many with what there is (30)"
    )
    parser.add_argument("--workers", type=int, default=2, help="cells at once (2)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="all of them; --quick: learning")
    parser.add_argument("--state", type=Path, help=f"where trainings are kept ({STATE / 'lora'}; --quick: nowhere)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    arguments = parser.parse_args()
    command = shlex.join(["python", "-m", "benchmarks.lora", *sys.argv[1:]])
    try:
        with tempfile.TemporaryDirectory(prefix="potluck-study-") as passing:
            arguments.state = arguments.state or (Path(passing) if arguments.quick else STATE / "lora")
            code = run(arguments, command)
    except NotMeasured as problem:
        raise SystemExit(f"not measured: {problem}") from problem
    except KeyboardInterrupt:
        raise SystemExit("interrupted; started again it goes on from the trainings that are kept") from None
    sys.exit(code)


def run(arguments: argparse.Namespace, command: str) -> int:
    """Every part that is asked for; the exit code: 1 when one failed.

    Raises:
        NotMeasured: the base model or the speeches are not here.
    """
    parts = arguments.parts or (["learning"] if arguments.quick else PARTS)
    beside = [] if arguments.estimate else [part for part in parts if part != "learning"]
    failed = [part for part in beside if not _beside(part, arguments)]
    if "learning" in parts and not learn(arguments, command):
        failed.append("learning")
    return int(bool(failed))


def learn(arguments: argparse.Namespace, command: str) -> bool:
    """Estimate, train, tell; whether no cell was refused."""
    began, before, scale = time.time(), machine(), scale_of(arguments.quick)
    every = cells(scale)
    need_speeches()
    with one_thread_each(arguments.workers) as pool:
        timing = paces(scale, pool, arguments.workers)
        kept = done(every, scale, arguments.state, pool)
        costs = seconds(every, scale, kept, timing)
        total = minutes(costs, arguments.workers)
        rows = [(cell.name, "over" if kept[cell.name].over else f"{costs[cell.name] / 60:.1f}") for cell in every]
        print(
            f"estimate of lora, from a calibration just now ({machine()}):\n\n{markdown(('cell', 'minutes'), rows)}\n"
        )
        fits = "stops then" if total <= arguments.minutes else "stops then with what there is; started again it goes on"
        print(
            f"{timing.step_s:.2f} s a step, {timing.score_s:.0f} s a scoring: {total:.1f} minutes, {arguments.workers} "
            f"at once ({total * timing.on_cpu:.1f} if nothing else runs); --minutes {arguments.minutes:g}: {fits}; "
            f"trainings are kept in {arguments.state}\n",
            flush=True,
        )
        if arguments.estimate:
            return True
        outcomes = played(every, scale, arguments.state, began + 60 * arguments.minutes, pool)
    took = time.time() - began
    text = report(outcomes, scale, command, f"{before}; load after {os.getloadavg()[0]:.2f}", took)
    print(text, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(_document(outcomes, command, before, took, text), indent=1))
    return not any(each.problem for each in outcomes)


def played(every: Sequence[Cell], scale: Scale, folder: Path, deadline: float, pool: Executor) -> list[Outcome]:
    """The outcomes in the order of the cells, which is the order they start in."""
    jobs = {pool.submit(advance, cell, scale, folder, deadline): cell for cell in every}
    found = {}
    for job in as_completed(jobs):
        outcome = found[jobs[job].name] = job.result()
        said = f"loss {outcome.loss:.4f}" if outcome.over else outcome.state
        print(f"  {outcome.cell.name}: {said}", file=sys.stderr, flush=True)
    return [found[cell.name] for cell in every]


def report(outcomes: Sequence[Outcome], scale: Scale, command: str, where: str, took: float) -> str:
    """The study in Markdown: what was run, where, the table, what a reader has to know, and what is missing."""
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    lines = [f"## {TITLE}", "", f"`{command}`, {now}, {took / 60:.1f} minutes; {where}.", "", table(outcomes), ""]
    lines += [f"- {each}" for each in remarks(outcomes, scale)]
    missing = [f"{each.cell.name} ({each.state})" for each in outcomes if not each.over]
    lines.append(f"- missing: {'; '.join(missing)}." if missing else "- nothing is missing.")
    return "\n".join(lines)


def remarks(outcomes: Sequence[Outcome], scale: Scale) -> list[str]:
    """What the table leaves out."""
    found = [
        f"{scale.rounds} rounds of {scale.steps} steps on each of {scale.speakers} nodes, one example of "
        f"{scale.length} tokens a step, Adam 1e-3 that begins anew every round, r = 8, scaling 2, base in bfloat16; "
        "each node is one speaker",
        "loss: nats a token on all speakers' test texts together, of the last version; of each alone the mean over the "
        "nodes. Intervals: Student's t over seeds, paired by seed, which fixes the first A and the order of examples; "
        "texts and base are the same in all, so nothing is said of other speakers or models",
    ]
    alone, exact = finished(outcomes, LOCAL), finished(outcomes, EXACT)
    if seeds := sorted(alone.keys() & exact.keys()):
        own = [alone[seed].own_loss for seed in seeds]
        told = difference(own, [exact[seed].loss for seed in seeds])
        found.append(
            f"each alone, its own speaker's test texts scored by it and no others: {fmean(own):.4f}; minus {EXACT} on "
            f"the same: {told} ({verdict(told)})"
        )
    for one, other in (("fedavg" + OWN_A, EXACT + OWN_A), (EXACT, LOCAL), (EXACT, BASE)):
        told = paired(outcomes, one, other)
        found.append(f"{one} minus {other}: {told} ({verdict(told)})")
    rows = {each.cell.rule: each.rows[-1] for each in outcomes if each.rows and len(each.cell.federations[0]) > 1}
    sizes = [f"{rule} {row.down / 1e6:.2f} down, {row.up / 1e6:.2f} up" for rule, row in rows.items()]
    if sizes:
        full = parameters(scale)
        weights = (
            f"all {full / 1e6:.1f}M weights would be {full * 2 / 1e6:.0f} in bfloat16, {full * 4 / 1e6:.0f} in float32"
        )
        found.append(f"MB a node in the last round, each way: {'; '.join(sizes)}; {weights}")
    return found


def _beside(part: str, arguments: argparse.Namespace) -> bool:
    """Runs another benchmark, which prints its table; whether it did."""
    command = [sys.executable, "-m", f"benchmarks.lora_{part}", *(["--quick"] if arguments.quick else [])]
    return subprocess.run(command, check=False).returncode == 0


def _document(outcomes: Sequence[Outcome], command: str, where: str, took: float, text: str) -> dict[str, object]:
    told = [
        {
            "name": each.cell.name,
            "state": each.state,
            "rounds": [asdict(row) for row in each.rows],
            "scores": each.scores,
        }
        for each in outcomes
    ]
    return {"study": "lora", "command": command, "machine": where, "seconds": took, "report": text, "cells": told}


if __name__ == "__main__":
    main()
