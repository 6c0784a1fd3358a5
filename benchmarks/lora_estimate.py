"""What the study of adapters will take, before it starts: a step and a scoring are timed, and multiplied out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks.lora_cells import LOCAL, Cell, Scale, cells, task, trainings
from benchmarks.lora_place import Place
from benchmarks.lora_rounds import Outcome, advance
from benchmarks.study_estimate import makespan
from federation.evaluation import judge, objective_of
from federation.training import Training
from federation.weights import to_bytes

_STEPS, _SCORED = 4, 8


@dataclass(frozen=True)
class Pace:
    """Seconds on the clock: of a step, and of scoring a version on all test texts; `on_cpu` is the share of them that
    the process was not kept waiting, by others say."""

    step_s: float
    score_s: float
    on_cpu: float = 1.0


def pace(scale: Scale) -> Pace:
    """Timed in this process, which loads the base model first."""
    place, cell = Place.of(scale), next(cell for cell in cells(scale) if cell.method == LOCAL)
    spec = task(cell, scale)
    with tempfile.TemporaryDirectory() as folder:
        version = Path(folder) / "version"
        version.write_bytes(to_bytes(place.initial(spec, 0)))
        model = place.models.receive(spec, place.assignment, version).module
    training = Training(model, place.share((0,)).train, spec.training, seed=0, objective=objective_of(spec.model))
    training.step()  # whatever is set up once
    began, cpu = time.perf_counter(), time.process_time()
    steps = min(_STEPS, training.total_steps - 1)
    for _ in range(steps):
        training.step()
    stepped = time.perf_counter()
    few = place.tests[0].take(torch.arange(min(_SCORED, len(place.tests[0]))))
    judge(spec.model, model, few)
    scored, on_cpu = time.perf_counter() - stepped, time.process_time() - cpu
    every = sum(map(len, place.tests))
    return Pace(
        (stepped - began) / max(1, steps), scored / len(few) * every, min(1.0, on_cpu / (stepped - began + scored))
    )


def paces(scale: Scale, pool: Executor, workers: int) -> Pace:
    """The slowest of as many as will run at once."""
    found = list(pool.map(pace, [scale] * workers))
    return max(found, key=lambda each: each.step_s)


def done(every: Sequence[Cell], scale: Scale, folder: Path, pool: Executor) -> dict[str, Outcome]:
    """What is kept of each cell, by its name."""
    return {each.cell.name: each for each in pool.map(partial(advance, scale=scale, folder=folder, deadline=0), every)}


def seconds(every: Sequence[Cell], scale: Scale, kept: Mapping[str, Outcome], timing: Pace) -> dict[str, float]:
    """Of what is left of each cell, by its name; work that cells share counts for the first of them."""
    seen: set[Hashable] = set()
    costs = {}
    for cell in every:
        before = kept[cell.name]
        over, left = {(row.federation, row.round) for row in before.rows}, 0
        for federation, round, work in trainings(cell, scale):
            left += 0 if (federation, round) in over or work in seen else cell.steps
            seen.add(work)
        each = scale.rounds if len(cell.federations[0]) > 1 else 1  # what is merged is scored every round
        unscored = len(cell.federations) * each - (len(before.rows) if each > 1 else len(before.scores))
        costs[cell.name] = left * timing.step_s + unscored * timing.score_s
    return costs


def minutes(costs: Mapping[str, float], workers: int) -> float:
    """Until the last cell is over."""
    return makespan(list(costs.values()), workers) / 60
