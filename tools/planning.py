"""Plain words to a task spec."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from federation.spec import TaskSpec
from orchestrator.planning import by_model, checking
from orchestrator.planning.reading.words import LONGEST
from tools.context import Ctx, current_caller, potluck


class Simulation(BaseModel):
    """run_simulation's arguments beside the spec."""

    attack: str | None
    attackers: float


class Plan(BaseModel):
    """A spec for create_task or run_simulation, and how it came about."""

    spec: dict[str, Any]
    reasons: list[dict[str, Any]] = Field(description="field, value, why")
    valid: bool
    problems: list[dict[str, str]] = Field(description="field, problem, mend")
    warnings: list[dict[str, str]]
    budget: dict[str, Any] = Field(description="as of validate_task")
    planner: Literal["gemini", "rules"]
    notes: list[str] = Field(description="wishes not met or not understood, assumptions, contradictions")
    simulate: bool = Field(description="run_simulation is meant, not create_task")
    simulation: Simulation | None


async def plan_task(
    ctx: Ctx,
    goal: Annotated[
        str, Field(min_length=1, max_length=LONGEST, description="E.g. digits on 10 phones, non-IID, robust.")
    ],
    spec: Annotated[dict[str, Any] | None, Field(description="A spec to change instead of a new one.")] = None,
) -> Plan:
    """Plan a task from plain words: a checked spec, a reason for each field, and what it will not do. Creates nothing:
    show it before create_task or run_simulation."""
    state, caller = potluck(ctx), current_caller()
    state.rates.llm_calls.take(caller.token_id, caller.address)
    nodes = await state.federation.views.capabilities()
    plan = await by_model.plan(
        goal, state.workload, spec=spec, model=state.model, budget=state.llm_budget(), nodes=len(nodes)
    )
    warnings = []
    if plan.budget is not None:
        warnings = checking.warnings(TaskSpec.model_validate(plan.spec), plan.budget.memory_bytes, nodes)
    return Plan(
        spec=dict(plan.spec),
        reasons=[asdict(reason) for reason in plan.reasons],
        valid=plan.valid,
        problems=[problem.model_dump() for problem in plan.problems],
        warnings=[warning.model_dump() for warning in warnings],
        budget=asdict(plan.budget) if plan.budget is not None else {},
        planner=plan.planner,
        notes=list(plan.notes),
        simulate=plan.simulate,
        simulation=Simulation(**asdict(plan.simulation)) if plan.simulation is not None else None,
    )
