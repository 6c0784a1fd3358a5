"""The global model in use."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from federation.weights import load
from resources.models.language.export import adapter_config
from tools.arguments import TaskId, Version
from tools.context import Ctx, current_caller, potluck
from tools.model_card import model_card

# Flat or nested, so its items can be of no one type; a schema that says nothing at all is one that some hosts refuse.
Example = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "array"}, {"type": "string"}]})]


class Prediction(BaseModel):
    """What the global model says."""

    version: int
    labels: list[int]
    probabilities: list[list[float]]
    texts: list[dict[str, Any]] = Field(description="of a language model: text, tokens, finished (eos, length, time)")


class Scores(BaseModel):
    """A score on the data set's test examples."""

    version: int
    accuracy: float | None
    loss: float
    perplexity: float | None
    num_examples: int
    per_class_accuracy: list[float | None]


class Export(BaseModel):
    """A model version to take away."""

    version: int
    format: str = Field(description="safetensors, or peft: adapters")
    weights: str = Field(description="what to call the file")
    files: dict[str, str] = Field(description="texts to put beside it")
    base: dict[str, Any] | None = Field(description="of adapters: the base model")
    sha256: str
    size: int
    url: str = Field(description="relative to the server's base URL")
    uri: str = Field(description="the same in-band: read at offset 0, go on by what came")
    model_card: str = Field(description="Markdown")


async def predict(
    ctx: Ctx,
    task_id: TaskId,
    inputs: Annotated[
        list[Example],
        Field(min_length=1, max_length=256, description="Examples, as nested or flat lists of 0..1; or texts."),
    ],
    version: Version = None,
    max_tokens: Annotated[int | None, Field(ge=1, le=512, description="Of each text written; default 64.")] = None,
) -> Prediction:
    """Classify inputs with the global model, or let a language model go on from them. Rate-limited."""
    state = potluck(ctx)
    caller = current_caller()
    state.rates.predictions.take(caller.token_id, caller.address)
    answer = await state.federation.models.predict(task_id, version, inputs, max_tokens=max_tokens)
    model, labels, probabilities, texts = answer
    return Prediction(
        version=model.version, labels=labels, probabilities=probabilities, texts=[asdict(each) for each in texts]
    )


async def evaluate_model(ctx: Ctx, task_id: TaskId, version: Version = None) -> Scores:
    """Score a version of the global model on the data set's own test examples and keep the score."""
    model, scores = await potluck(ctx).federation.models.evaluate(task_id, version)
    return Scores(
        version=model.version,
        accuracy=scores.accuracy,
        loss=scores.loss,
        perplexity=scores.perplexity,
        num_examples=scores.num_examples,
        per_class_accuracy=scores.per_class_accuracy,
    )


async def export_model(
    ctx: Ctx,
    task_id: TaskId,
    version: Version = None,
    merged: Annotated[
        bool, Field(description="With the card of the whole model: whoever has the base merges the adapters.")
    ] = False,
) -> Export:
    """Export a version of the global model as safetensors, with a model card that states its lineage and scores;
    adapters as PEFT reads them."""
    state = potluck(ctx)
    federation = state.federation
    task, model = await federation.models.version(task_id, version)
    lineage = await federation.views.version(task_id, model.version)
    card, files = model_card(task, lineage, merged=merged), {}
    if task.base is not None and not merged:
        adapters = load(federation.shared.spool.path(model.sha256))
        config = adapter_config(task.spec.model, adapters, task.base)
        files = {"adapter_config.json": json.dumps(config, indent=2, sort_keys=True) + "\n"}
    return Export(
        version=model.version,
        format="safetensors" if task.base is None else "peft",
        weights="model.safetensors" if task.base is None else "adapter_model.safetensors",
        files=files | {"README.md": card},
        base=None if task.base is None else task.base.as_dict(),
        sha256=model.sha256,
        size=model.size,
        url=lineage["url"],
        uri=lineage["uri"],
        model_card=card,
    )
