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
class Plan:
    """What came of a goal. Nothing is created by it.

    Attributes:
        spec: as create_task takes it.
        problems: what keeps the spec from being trained; empty for a plan that can be.
        budget: of a node and a round, where there are no problems.
        planner: who planned.
        notes: wishes that are not met or not understood, assumptions, contradictions.
        simulate: whether run_simulation is meant instead of create_task.
    """

    spec: Mapping[str, Any]
    reasons: tuple[Reason, ...]
    problems: tuple[Problem, ...]
    budget: Budget | None
    planner: Literal["gemini", "rules"]
    notes: tuple[str, ...] = field(default=())
    simulate: bool = False

    @property
    def valid(self) -> bool:
        """Whether it can be trained as it is."""
        return not self.problems
