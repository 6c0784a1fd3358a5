"""How a task is simulated: what was asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from federation.simulation.attacks import AttackName
from federation.simulation.engine import EngineName


@dataclass(frozen=True)
class Wish:
    """What whoever starts a simulation may choose; the arguments of `simulate`."""

    engine: EngineName | None = None
    attack: AttackName | None = None
    attackers: float = 0.0
    workers: int | None = None


@dataclass(frozen=True)
class Simulation:
    """A wish, and the engine that it comes to: written down, so that a task goes on with the one that it began with."""

    wish: Wish
    engine: EngineName

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From `as_dict`."""
        return cls(Wish(**document["wish"]), document["engine"])
