"""A training in plain words, from the stored numbers."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from orchestrator.diagnosis.diagnose import rounds_to_read
from orchestrator.diagnosis.training import Training
from orchestrator.summary.summary import summary_of
from orchestrator.summary.writing import written_by
from tools.arguments import TaskId
from tools.context import Ctx, current_caller, potluck


class TrainingSummary(BaseModel):
    """What can be said of a training, and what each number stands on."""

    text: str = Field(description="Markdown; names and reasons of others in code spans")
    claims: list[dict[str, Any]] = Field(description="claim, metric, value, where")
    findings: list[dict[str, str]] = Field(description="kind, severity, text, mend; the worst first")
    writer: str = Field(description="gemini or rules")
    notes: list[str]


async def summarize_training(ctx: Ctx, task_id: TaskId) -> TrainingSummary:
    """Summarize a task in plain words: convergence, stragglers, drift, exclusions, bytes and privacy. States only what
    the stored numbers support, and how to mend what is wrong."""
    state = potluck(ctx)
    views = state.federation.views
    view = await views.task(task_id, private=True)
    rounds = [await views.round(task_id, number) for number in rounds_to_read(view)]
    training = Training.of(view, await views.metrics(task_id), rounds)
    summary = await asyncio.to_thread(summary_of, training)
    if state.model is not None:
        caller = current_caller()
        state.rates.llm_calls.take(caller.token_id, caller.address)
        summary = await written_by(state.model, training, summary, state.llm_budget())
    return TrainingSummary.model_validate(summary.as_dict())
