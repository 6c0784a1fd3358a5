"""A cell of a learning study: one simulated task, kept round by round, so that who is interrupted loses one round."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from federation.errors import ErrorCode, Refused
from federation.simulation.engine import EngineName, ModelFactory
from federation.simulation.population import Population
from federation.simulation.run import SimulatedRound, Start, simulate
from federation.spec import AggregationSpec, CohortSpec, TaskSpec, TrainingSpec, parse_spec
from federation.training import Stopped
from resources.simulate import population_of

_ROOT = Path(__file__).parents[1]
_DECIDES = ("federation", "resources")
"""The packages whose code a result depends on."""
_FROM_THE_FIRST = frozenset({"scaffold"})
"""Rules whose clients keep something that no round's model has: they start again unless they are over."""
_TOLD_EVERY_S = 60


@dataclass(frozen=True)
class Cell:
    """One task to simulate. It is over after `spec.rounds`, or when a score reaches `spec.stopping.target_accuracy`.

    Attributes:
        name: in tables; no part of the key.
        channels_last: convolutions keep their weights with the channels last, which is quicker on a CPU.
    """

    name: str
    spec: TaskSpec
    engine: EngineName = "loop"
    attack: str | None = None
    attackers: float = 0.0
    channels_last: bool = False

    def identity(self) -> dict[str, Any]:
        """All that its results depend on."""
        names = ("engine", "attack", "attackers", "channels_last")
        told: dict[str, Any] = {name: getattr(self, name) for name in names}
        return told | {"spec": self.spec.model_dump(mode="json"), "torch": torch.__version__, "code": code_digest()}

    @property
    def key(self) -> str:
        """Short, and another one for every other identity."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Row:
    """A finished round: scores (None: not scored), its seconds, and this process's CPU seconds."""

    round: int
    accuracy: float | None
    loss: float | None
    train_loss: float
    void: bool
    seconds: float
    cpu_s: float


@dataclass(frozen=True)
class Outcome:
    """What is known of a cell.

    Attributes:
        problem: why it cannot run, or cannot go on.
        diverged: that is because what is trained is no longer finite, which is a result.
        loading_s: what its data took, if they were loaded now.
    """

    cell: Cell
    rows: list[Row] = field(default_factory=list)
    problem: str | None = None
    diverged: bool = False
    loading_s: float = 0.0

    @property
    def scores(self) -> list[float]:
        """Accuracies in the order of rounds."""
        return [row.accuracy for row in self.rows if row.accuracy is not None]

    @property
    def reached(self) -> int | None:
        """The first scored round at or above the target."""
        target = self.cell.spec.stopping.target_accuracy
        hits = (row.round for row in self.rows if target and row.accuracy is not None and row.accuracy >= target)
        return next(hits, None)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.diverged or self.reached is not None or len(self.rows) == self.cell.spec.rounds

    @property
    def seconds(self) -> float:
        """Of all rounds."""
        return math.fsum(row.seconds for row in self.rows)

    @property
    def cpu_s(self) -> float:
        """Of all rounds."""
        return math.fsum(row.cpu_s for row in self.rows)

    def last(self, scores: int = 1) -> float | None:
        """The mean of the last scores; None when there are fewer."""
        return None if len(self.scores) < scores else math.fsum(self.scores[-scores:]) / scores

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.diverged:
            return f"diverged in round {len(self.rows) + 1}: {self.problem}"
        if self.problem:
            return f"refused: {self.problem}"
        return "over" if self.over else f"stopped after {len(self.rows)} of {self.cell.spec.rounds} rounds"


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
    if cell.spec.aggregation.rule in _FROM_THE_FIRST and not Outcome(cell, rows).over:
        return [], None
    parts: dict[str, Any] = {each.name: {} for each in fields(Start) if each.name != "round"}
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
    for each in fields(Start):
        if each.name != "round":
            tensors |= _flat(getattr(done, each.name), (each.name,))
    told = {"rows": json.dumps([asdict(row) for row in rows]), "cell": json.dumps(cell.identity())}
    file = _file(cell, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(f".{os.getpid()}.part")
    aside.write_bytes(safetensors.torch.save(tensors, told))
    aside.replace(file)


def channels_last(factory: ModelFactory) -> nn.Module:
    """The factory's model, its convolutions' weights with the channels last; values and names are the same."""
    return factory().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@lru_cache
def code_digest() -> str:
    """Of the sources that decide a result, so that what another version made is never taken for this one's."""
    digest = hashlib.sha256()
    for package in _DECIDES:
        for file in sorted((_ROOT / package).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


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
