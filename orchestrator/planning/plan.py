"""A plan: a task spec, why each field is as it is, and what it will not do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from federation.spec import Problem
from resources.budget import Budget


@dataclass(frozen=True)
class Reason:
    """Why a field has its value."""

    field: str
    value: Any
    why: str


@dataclass(frozen=True)
class Simulation:
    """Arguments of run_simulation beside the spec.

    Attributes:
        attack: what the attackers do; None: nobody attacks.
        attackers: share of the clients.
    """

    attack: str | None
    attackers: float


@dataclass(frozen=True)
class Plan:
    """What came of a goal. Nothing is created by it.

    Attributes:
        spec: as create_task takes it.
        problems: what keeps the spec from being trained, or from being what was asked for; empty for a plan that is.
        budget: of a node and a round, where there are no problems.
        planner: who planned.
        notes: wishes that are not met or not understood, assumptions, contradictions.
        simulation: what run_simulation is called with beside the spec; None where create_task is meant.
    """

    spec: Mapping[str, Any]
    reasons: tuple[Reason, ...]
    problems: tuple[Problem, ...]
    budget: Budget | None
    planner: Literal["gemini", "rules"]
    notes: tuple[str, ...] = field(default=())
    simulation: Simulation | None = None

    @property
    def simulate(self) -> bool:
        """Whether run_simulation is meant instead of create_task."""
        return self.simulation is not None

    @property
    def valid(self) -> bool:
        """Whether it can be trained as it is."""
        return not self.problems
