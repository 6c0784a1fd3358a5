"""Tasks that train adapters: their base model is pinned, and nodes without the means are turned away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from world import ThreeNumbers, World, open_world

from federation.base_pin import BasePin
from federation.coordinator.ports import Bounds, Written
from federation.errors import ErrorCode, Refused
from federation.evaluation import Evaluation
from federation.spec import TaskSpec

pytestmark = pytest.mark.anyio

PIN = BasePin(revision="c0ffee", sha256="a" * 64, tokenizer_sha256="b" * 64, memory_bytes=3_000_000_000)
LAYER = "base_model.model.layer"
SPEC: dict[str, Any] = {"model": {"id": "hf:acme/tiny", "lora": {"r": 2}}, "data": {"id": "shakespeare"}}


class TinyAdapters(ThreeNumbers):
    """One layer of 3 × 4 with adapters of rank 2, on a base that nobody loads."""

    def __init__(self) -> None:
        self.asked: list[BasePin | None] = []

    def pin(self, spec: TaskSpec) -> BasePin | None:
        return PIN

    def initial_weights(self, spec: TaskSpec, base: BasePin | None = None) -> dict[str, torch.Tensor]:
        self.asked.append(base)
        return {f"{LAYER}.lora_A.weight": torch.ones(2, 4), f"{LAYER}.lora_B.weight": torch.zeros(3, 2)}

    def evaluate(
        self, spec: TaskSpec, weights: Mapping[str, torch.Tensor], base: BasePin | None = None
    ) -> Evaluation | None:
        self.asked.append(base)
        return Evaluation(4, 2.0, None, [], num_tokens=100, token_accuracy=0.25)

    def write(
        self, spec: TaskSpec, weights: Mapping[str, torch.Tensor], prompts: list[str], base: BasePin, bounds: Bounds
    ) -> list[Written]:
        self.asked.append(base)
        return super().write(spec, weights, prompts, base, bounds)


@pytest.fixture
def workload() -> TinyAdapters:
    return TinyAdapters()


@pytest.fixture
async def world(tmp_path: Path, workload: TinyAdapters) -> AsyncIterator[World]:
    async with open_world(tmp_path, workload=workload) as world:
        yield world


async def test_the_base_is_pinned_with_the_task_and_named_in_every_assignment(
    world: World, workload: TinyAdapters
) -> None:
    task_id = await world.task(**SPEC)
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task_id)
    assignment = (await bob.ask(task_id)).as_dict()
    assert assignment["base"] == PIN.as_dict()
    assert (await world.federation.views.task(task_id, private=False))["base"] == PIN.as_dict()
    assert workload.asked == [PIN]  # for the first adapters


async def test_a_node_with_too_little_memory_is_turned_away(world: World) -> None:
    task_id = await world.task(**SPEC)
    ann = await world.node("ann")
    ann.row["capabilities"] = {**ann.row["capabilities"], "memory_bytes": 2_900_000_000}
    with pytest.raises(Refused, match=r"about 3.0 GB of memory; the node has 2.9 GB") as refused:
        await world.join(task_id, ann)
    assert refused.value.code is ErrorCode.INCOMPATIBLE_NODE
    ann.row["capabilities"]["memory_bytes"] = PIN.memory_bytes
    await world.join(task_id, ann)


@pytest.mark.parametrize(("models", "welcome"), [(["mlp"], False), (["mlp", "hf:*"], True), (None, True)])
async def test_a_node_has_to_know_pretrained_models(world: World, models: list[str] | None, welcome: bool) -> None:
    task_id = await world.task(**SPEC)
    ann = await world.node("ann")
    ann.row["capabilities"] = {**ann.row["capabilities"], "model_ids": models}
    if welcome:
        await world.join(task_id, ann)
        return
    with pytest.raises(Refused, match="trains hf:acme/tiny"):
        await world.join(task_id, ann)


async def test_scores_of_a_model_that_writes_are_its_loss_and_perplexity(world: World) -> None:
    task_id = await world.task(**SPEC)
    _, scores = await world.federation.models.evaluate(task_id, None)
    assert scores.accuracy is None
    kept = (await world.federation.views.task(task_id, private=False))["initial_scores"]
    assert kept["loss"] == 2.0
    assert kept["perplexity"] == pytest.approx(7.389056)
    assert kept["token_accuracy"] == 0.25
    assert "accuracy" not in kept


async def test_a_model_that_writes_goes_on_from_texts_within_bounds(world: World, workload: TinyAdapters) -> None:
    task_id = await world.task(**SPEC)
    _, labels, probabilities, texts = await world.federation.models.predict(task_id, None, ["To be"], max_tokens=2)
    assert (labels, probabilities) == ([], [])
    assert texts == [Written("To", 2, "length")]
    assert workload.asked[-1] == PIN
    for inputs, tokens in (([[0.0]], None), ([""], None), (["a"] * 9, None), (["a"], 513)):
        with pytest.raises(Refused) as refused:
            await world.federation.models.predict(task_id, None, inputs, max_tokens=tokens)
        assert refused.value.code is ErrorCode.INVALID_ARGUMENT


async def test_only_models_that_write_take_a_number_of_tokens(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        task_id = await world.task()
        with pytest.raises(Refused, match="answers with classes"):
            await world.federation.models.predict(task_id, None, [[0.0]], max_tokens=3)
