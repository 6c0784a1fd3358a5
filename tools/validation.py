"""Checking a task spec before anyone trains on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, Field

from federation.errors import ErrorCode, Refused
from federation.spec import Problem
from orchestrator.planning import checking
from resources.measure import measure as measure_step
from tools.context import Access, Ctx, current_caller, potluck, take_hub_question
from tools.measuring import measured

Spec = Annotated[dict[str, Any], Field(description="Task spec; its schema: resource potluck://schema/task.")]


class Validation(BaseModel):
    """Whether a spec can be trained, and at what cost."""

    valid: bool
    problems: list[dict[str, str]] = Field(description="field, problem, mend")
    warnings: list[dict[str, str]] = Field(description="the same; they do not prevent the task")
    budget: dict[str, Any] = Field(description="parameters, bytes, memory and FLOPs a node and round")
    partition: dict[str, Any] | None = Field(default=None, description="examples, and labels, a share")
    measured: dict[str, Any] | None = Field(description="seconds and peak memory of one real step")


async def validate_task(
    ctx: Ctx,
    spec: Spec,
    measure: Annotated[bool, Field(description="Operators: also run one real training step, within limits.")] = False,
) -> Validation:
    """Check a task spec against its model, its data and the nodes known so far: every problem, its field and how to
    mend it, and an estimated budget. Creates nothing."""
    if measure and current_caller().access not in (Access.OPERATOR, Access.OPEN):
        raise Refused(
            ErrorCode.FORBIDDEN,
            "measure=true runs code on the server: it is for the role operator.",
            "call without measure, or with an operator's token",
        )
    state = potluck(ctx)
    if checking.asks_the_hub(spec):
        take_hub_question(ctx)
    checked = await asyncio.to_thread(checking.check, spec, state.workload)
    if checked.spec is None or checked.problems:
        return _answer(checked.problems)
    parsed, budget = checked.spec, checked.budget
    if budget is None:
        return _answer([], [*checked.notes, *checking.warnings(parsed, None, [])])
    nodes = await state.federation.views.capabilities()
    warnings = [*checking.warnings(parsed, budget.memory_bytes, nodes), *checked.notes]
    answer = _answer([], warnings, asdict(budget))
    cut = await asyncio.to_thread(state.workload.skew, parsed)
    answer.partition = None if cut is None else asdict(cut)
    if measure:
        models = state.workload.models
        try:
            step = await measured(state.measuring, lambda stop: measure_step(parsed, models=models, stop=stop))
        except Refused as refused:
            if refused.code is ErrorCode.BUSY:
                raise
            problem = Problem(field="(measured)", problem=refused.problem, mend=refused.mend)
            return _answer([problem], warnings, asdict(budget))
        warnings = [*checking.warnings(parsed, step.peak_memory_bytes, nodes), *checked.notes]
        answer.warnings = [warning.model_dump() for warning in warnings]
        answer.measured = asdict(step)
    return answer


def _answer(
    problems: Sequence[Problem], warnings: Sequence[Problem] = (), budget: dict[str, Any] | None = None
) -> Validation:
    return Validation(
        valid=not problems,
        problems=[problem.model_dump() for problem in problems],
        warnings=[warning.model_dump() for warning in warnings],
        budget=budget or {},
        measured=None,
    )
