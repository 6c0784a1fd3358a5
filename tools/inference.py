"""The global model in use."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from tools.arguments import TaskId, Version
from tools.context import Ctx, current_caller, potluck
from tools.model_card import model_card

# Flat or nested, so its items can be of no one type; a schema that says nothing at all is one that some hosts refuse.
Example = Annotated[Any, WithJsonSchema({"type": "array"})]


class Prediction(BaseModel):
    """What the global model says."""

    version: int
    labels: list[int]
    probabilities: list[list[float]]


class Scores(BaseModel):
    """A score on the data set's test examples."""

    version: int
    accuracy: float
    loss: float
    num_examples: int
    per_class_accuracy: list[float | None]


class Export(BaseModel):
    """A model version to take away."""

    version: int
    format: str
    sha256: str
    size: int
    url: str = Field(description="relative to the server's base URL")
    uri: str = Field(description="the same in-band: read at offset 0, go on by what came")
    model_card: str = Field(description="Markdown")


async def predict(
    ctx: Ctx,
    task_id: TaskId,
    inputs: Annotated[
        list[Example], Field(min_length=1, max_length=256, description="Examples, as nested or flat lists of 0..1.")
    ],
    version: Version = None,
) -> Prediction:
    """Classify inputs with the global model. Rate-limited."""
    state = potluck(ctx)
    caller = current_caller()
    state.rates.predictions.take(caller.token_id, caller.address)
    model, labels, probabilities = await state.federation.models.predict(task_id, version, inputs)
    return Prediction(version=model.version, labels=labels, probabilities=probabilities)


async def evaluate_model(ctx: Ctx, task_id: TaskId, version: Version = None) -> Scores:
    """Score a version of the global model on the data set's own test examples and keep the score."""
    model, scores = await potluck(ctx).federation.models.evaluate(task_id, version)
    return Scores(
        version=model.version,
        accuracy=scores.accuracy,
        loss=scores.loss,
        num_examples=scores.num_examples,
        per_class_accuracy=scores.per_class_accuracy,
    )


async def export_model(ctx: Ctx, task_id: TaskId, version: Version = None) -> Export:
    """Export a version of the global model as safetensors, with a model card that states its lineage and scores."""
    federation = potluck(ctx).federation
    task, model = await federation.models.version(task_id, version)
    lineage = await federation.views.version(task_id, model.version)
    return Export(
        version=model.version,
        format="safetensors",
        sha256=model.sha256,
        size=model.size,
        url=lineage["url"],
        uri=lineage["uri"],
        model_card=model_card(task, lineage),
    )
