"""Checking a task spec before anyone trains on it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from federation.aggregation.compatibility import problems as rule_problems
from federation.errors import ErrorCode, Refused
from federation.rounds import nodes_needed
from federation.spec import Problem, TaskSpec, spec_problems
from resources.measure import measure as measure_step
from tools.context import Access, Ctx, current_caller, potluck

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
    try:
        parsed = TaskSpec.model_validate(spec)
    except ValidationError as error:
        return _answer(spec_problems(error))
    state = potluck(ctx)
    problems = [*rule_problems(parsed), *await asyncio.to_thread(lambda: state.workload.check(parsed, fetch=False))]
    if problems:
        return _answer(problems)
    budget = await asyncio.to_thread(state.workload.estimate, parsed)
    nodes = await state.federation.views.capabilities()
    warnings = [*_against_nodes(parsed, budget.memory_bytes, nodes), *_of_selection(parsed)]
    answer = _answer([], warnings, asdict(budget))
    cut = await asyncio.to_thread(state.workload.skew, parsed)
    answer.partition = None if cut is None else asdict(cut)
    if measure:
        if state.measuring.locked():
            raise Refused(ErrorCode.BUSY, "another measurement is running.", "try again when it is done")
        async with state.measuring:
            try:
                measured = await asyncio.to_thread(measure_step, parsed, models=state.workload.models)
            except Refused as refused:
                problem = Problem(field="(measured)", problem=refused.problem, mend=refused.mend)
                return _answer([problem], warnings, asdict(budget))
        warnings = [*_against_nodes(parsed, measured.peak_memory_bytes, nodes), *_of_selection(parsed)]
        answer.warnings = [warning.model_dump() for warning in warnings]
        answer.measured = asdict(measured)
    return answer


def _answer(
    problems: list[Problem], warnings: list[Problem] | None = None, budget: dict[str, Any] | None = None
) -> Validation:
    return Validation(
        valid=not problems,
        problems=[problem.model_dump() for problem in problems],
        warnings=[warning.model_dump() for warning in warnings or []],
        budget=budget or {},
        measured=None,
    )


def _of_selection(spec: TaskSpec) -> list[Problem]:
    if spec.cohort.selection != "power_of_choice" or (spec.evaluation.nodes and spec.data.holdout):
        return []
    words = "nodes score no model before they train, so they are chosen by their training loss; one that reports none "
    words += "is taken whenever it is a candidate"
    mend = "set evaluation.nodes and a data.holdout above 0, or see that every node reports train_loss"
    return [Problem(field="cohort.selection", problem=words, mend=mend)]


def _against_nodes(spec: TaskSpec, memory_bytes: int, nodes: list[dict[str, Any]]) -> list[Problem]:
    able = [node for node in nodes if spec.aggregation.rule in (node.get("methods") or [spec.aggregation.rule])]
    roomy = [node for node in able if (node.get("memory_bytes") or memory_bytes) >= memory_bytes]
    needed = nodes_needed(spec.cohort)
    warnings = []
    if len(roomy) < needed:
        if not nodes:
            mend = "none is needed: the first round begins when enough have joined"
            return [Problem(field="cohort", problem=f"no node has joined yet; a round waits for {needed}", mend=mend)]
        words = f"{len(roomy)} of the {len(nodes)} nodes that have shaken hands know {spec.aggregation.rule} and have "
        words += f"{memory_bytes} bytes of memory; a round waits for {needed}"
        mend = "let more nodes join, or ask for fewer (cohort.size, cohort.min_nodes)"
        warnings.append(Problem(field="cohort", problem=words, mend=mend))
    if spec.data.id != "own" and needed > spec.data.partition.parts:
        words = f"a round waits for {needed} nodes, but the training set is cut into {spec.data.partition.parts} shares"
        mend = "raise data.partition.parts, unless nodes bring data of their own"
        warnings.append(Problem(field="data.partition.parts", problem=words, mend=mend))
    return warnings
