"""Cells are simulated round by round, and every round is kept, so that who is interrupted loses one at most."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from benchmarks.study_cells import Cell, Outcome, Row
from federation.errors import ErrorCode, Refused
from federation.simulation.engine import ModelFactory
from federation.simulation.population import Population
from federation.simulation.run import simulate
from federation.simulation.simulated_round import SimulatedRound, Start
from federation.spec import AggregationSpec, CohortSpec, TaskSpec, TrainingSpec, parse_spec
from federation.training import Stopped
from resources.simulate import population_of

_TENSORS = ("weights", "state")
"""Of a round's, what the next one starts from; cohorts of these studies are drawn by chance alone."""
_TOLD_EVERY_S = 60


def advance(cell: Cell, folder: Path, deadline: float, workers: int = 1) -> Outcome:
    """Take the cell on from what is kept in `folder`, until it is over or the clock (`time.time`) shows `deadline`.

    Args:
        workers: of the engine `processes`.
    """
    rows, start = kept(cell, folder)
    outcome = Outcome(cell, rows)
    if outcome.over or time.time() >= deadline:
        return outcome
    loading = time.perf_counter()
    try:
        population = _population(_about_data(cell.spec))
        loading_s, told = time.perf_counter() - loading, time.monotonic()
        if cell.channels_last:
            population = replace(population, factory=partial(channels_last, population.factory))
        rounds = simulate(
            cell.spec,
            population,
            engine=cell.engine,
            attack=cell.attack,
            attackers=cell.attackers,
            workers=workers,
            start=start,
            should_stop=lambda: time.time() >= deadline,
        )
        cpu = time.process_time()
        with closing(rounds):  # type: ignore[type-var]
            for each in rounds:
                now = time.process_time()
                rows.append(_row(each, now - cpu))
                keep(cell, folder, rows, each)
                if time.monotonic() - told > _TOLD_EVERY_S:
                    told = time.monotonic()
                    print(f"  {cell.name}: round {each.round}, accuracy {each.accuracy}", file=sys.stderr, flush=True)
                if outcome.over or time.time() >= deadline:
                    break
                cpu = time.process_time()
    except Stopped:
        pass
    except Refused as refused:
        problem, diverged = (
            f"{refused.problem.removesuffix('.')} ({refused.code})",
            refused.code == ErrorCode.BAD_UPDATE,
        )
        return replace(outcome, problem=problem, diverged=diverged)
    return replace(outcome, loading_s=loading_s)


def kept(cell: Cell, folder: Path) -> tuple[list[Row], Start | None]:
    """The finished rounds of the cell, and where to go on; nothing when nothing of this very cell is there."""
    try:
        with safe_open(_file(cell, folder), "pt") as file:
            told = json.loads(file.metadata()["rows"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (FileNotFoundError, SafetensorError):
        return [], None
    rows = [Row(**each) for each in told]
    parts: dict[str, Any] = {name: {} for name in _TENSORS}
    for name, tensor in tensors.items():
        *path, last = json.loads(name)
        place = parts
        for step in path:
            place = place.setdefault(step, {})
        place[last] = tensor
    return rows, Start(round=rows[-1].round, **parts)


def keep(cell: Cell, folder: Path, rows: list[Row], done: SimulatedRound) -> None:
    """Writes all that the next round needs, aside, and renames it: there is the old state or the new one."""
    tensors: dict[str, torch.Tensor] = {}
    for name in _TENSORS:
        tensors |= _flat(getattr(done, name), (name,))
    told = {"rows": json.dumps([asdict(row) for row in rows]), "cell": json.dumps(cell.identity())}
    file = _file(cell, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(f".{os.getpid()}.part")
    aside.write_bytes(safetensors.torch.save(tensors, told))
    aside.replace(file)


def channels_last(factory: ModelFactory) -> nn.Module:
    """The factory's model, its convolutions' weights with the channels last; values and names are the same."""
    return factory().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _flat(part: Mapping[str, Any] | torch.Tensor, path: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Tensors in mappings of mappings, by their path as JSON."""
    if isinstance(part, torch.Tensor):
        return {json.dumps(path): part.contiguous()}
    return {name: tensor for key, inner in part.items() for name, tensor in _flat(inner, (*path, key)).items()}


def _file(cell: Cell, folder: Path) -> Path:
    return folder / f"{cell.key}.safetensors"


def _row(done: SimulatedRound, cpu_s: float) -> Row:
    loss = done.loss if done.loss is not None and math.isfinite(done.loss) else None
    return Row(done.round, done.accuracy, loss, done.train_loss, done.void, done.seconds, cpu_s)


def _about_data(spec: TaskSpec) -> str:
    """The spec without what does not change its population."""
    plain: dict[str, Any] = {"name": "x", "training": TrainingSpec(), "aggregation": AggregationSpec(), "rounds": 1}
    return spec.model_copy(update=plain | {"cohort": CohortSpec(size=1)}).model_dump_json()


@lru_cache(maxsize=1)
def _population(spec: str) -> Population:
    """Cells of one study mostly share it."""
    return population_of(parse_spec(json.loads(spec)))
