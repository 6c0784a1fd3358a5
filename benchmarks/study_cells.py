"""A cell of a learning study: one simulated task; its rounds, and what became of it."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from federation.simulation.engine import EngineName
from federation.spec import TaskSpec

_ROOT = Path(__file__).parents[1]
_DECIDES = ("federation", "resources")
"""The code that a simulated result depends on."""


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


@lru_cache
def code_digest(decides: tuple[str, ...] = _DECIDES) -> str:
    """Of the sources that decide a result, so that what another version made is never taken for this one's.

    Args:
        decides: packages and files.
    """
    digest = hashlib.sha256()
    for path in (_ROOT / each for each in decides):
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
