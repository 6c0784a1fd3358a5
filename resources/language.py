"""Pretrained language models, as the federation sees them: adapters to begin with, scores, texts, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from federation.base_pin import BasePin
from federation.coordinator.ports import Bounds, Written
from federation.errors import ErrorCode, Refused
from federation.evaluation import Evaluation, judge
from federation.spec import Problem, TaskSpec
from resources.budget import Budget
from resources.datasets import named, shares
from resources.datasets.text.resident import TestTexts
from resources.models.building import BUILDING
from resources.models.card import Unbuildable

if TYPE_CHECKING:
    from resources.models.language.cost import LanguageCost


class LanguageModels:
    """What `Workload` asks of pretrained models. The base is loaded to score, write or classify, and for nothing else.

    Args:
        models: folder of base models by name; default: all come from the Hub.
        data: folder of data sets; default: the environment's POTLUCK_DATA.
    """

    def __init__(self, models: Path | None, data: Path | None) -> None:
        self.models = models
        self._data = data
        self._tests = TestTexts(data)

    def pin(self, spec: TaskSpec) -> BasePin:
        """The base model that the task means, without loading or, from the Hub, fetching its weights."""
        from resources.models.language.bases import pin

        found = pin(spec.model, self.models)
        weight = self._cost(spec, self._folder(spec, found))
        return replace(found, memory_bytes=weight.memory_bytes, fan_in_fan_out=weight.transposed)

    def schema(self, spec: TaskSpec, base: BasePin | None = None) -> tuple[tuple[int, ...], int]:
        """Tokens of an example, and the vocabulary; or the number of classes."""
        length = (spec.text.max_length,)
        return length, (self._labels(spec) or 2) if spec.model.classifies else self.vocabulary(spec, base)

    def vocabulary(self, spec: TaskSpec, base: BasePin | None = None) -> int:
        """How many tokens the base knows."""
        from resources.models.language.configuration import read_config

        return int(read_config(spec.model, self._folder(spec, base)).get_text_config().vocab_size)

    def build(self, spec: TaskSpec) -> nn.Module:
        """The model that a node would train, on a base with random weights: its cost is the same."""
        from resources.models.language.adapter_model import adapted
        from resources.models.language.loaded import random_base

        network = random_base(spec.model, self._folder(spec, None), self._labels(spec))
        rule, checkpointing = spec.aggregation.rule, spec.training.gradient_checkpointing
        weights = self.initial_weights(spec)
        with BUILDING:
            return adapted(network, spec.model, weights, rule=rule, rank=None, gradient_checkpointing=checkpointing)

    def initial_weights(self, spec: TaskSpec, base: BasePin | None = None) -> dict[str, Tensor]:
        """Version 0 of the adapters; see `skeleton.initial_adapter`."""
        from resources.models.language.skeleton import initial_adapter

        return initial_adapter(spec.model, self._folder(spec, base), spec.seed, self._labels(spec))

    def estimate(self, spec: TaskSpec, base: BasePin | None = None) -> Budget:
        """What a round costs a node. Refused as `cost.estimate` refuses."""
        weight, training = self._cost(spec, self._folder(spec, base)), spec.training
        examples = shares.examples_per_node(spec)
        flops = None
        if examples is not None:
            seen = training.epochs * examples
            if training.max_steps is not None:
                seen = min(seen, training.max_steps * min(training.batch_size, examples))
            flops = weight.flops_per_token * spec.text.max_length * seen
        return Budget(
            parameters=weight.adapter_parameters,
            model_bytes=weight.adapter_bytes,
            bytes_per_round_per_node=2 * weight.adapter_bytes,
            memory_bytes=weight.memory_bytes,
            flops_per_round_per_node=flops,
            base_parameters=weight.base_parameters,
            base_bytes=weight.base_bytes,
        )

    def evaluate(self, spec: TaskSpec, weights: Mapping[str, Tensor], base: BasePin) -> Evaluation | None:
        """The score on `evaluation.examples` of the test examples; None for data that nodes bring themselves."""
        if spec.data.id == "own":
            return None
        model, tokenizer = self._loaded(spec, weights, base)
        return judge(spec.model, model, self._tests.get(spec, tokenizer, base.tokenizer_sha256))

    def write(
        self, spec: TaskSpec, weights: Mapping[str, Tensor], prompts: list[str], base: BasePin, bounds: Bounds
    ) -> list[Written]:
        """How the model goes on from each prompt, always with the likeliest token."""
        from resources.models.language.generation import generate

        model, tokenizer = self._loaded(spec, weights, base)
        chat = spec.text.template == "chat"
        texts = generate(model, tokenizer, prompts, max_tokens=bounds.max_tokens, seconds=bounds.seconds, chat=chat)
        return [Written(each.text, each.tokens, each.finished) for each in texts]

    def classify(
        self, spec: TaskSpec, weights: Mapping[str, Tensor], texts: list[Any], base: BasePin
    ) -> tuple[list[int], list[list[float]]]:
        """The likeliest class of each text, and the probability of every class."""
        from resources.datasets.text.encoding import encode
        from resources.datasets.text.rows import Labelled

        for row, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                problem = f"inputs[{row}] is no text."
                raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "give texts, for this task classifies them")
        model, tokenizer = self._loaded(spec, weights, base)
        x = encode([Labelled(text, 0) for text in texts], tokenizer, spec.text, classifies=True).x
        with torch.inference_mode():
            probabilities = torch.cat([model(each).float().softmax(dim=1) for each in torch.split(x, 1)])
        return probabilities.argmax(dim=1).tolist(), probabilities.tolist()

    def problems(self, spec: TaskSpec, *, fetch: bool) -> Iterable[Problem]:
        """Everything wrong with the spec that only the base model and the data can tell."""
        try:
            if spec.data.id != "own":
                shares.texts_card(spec)
        except Refused as refused:
            yield _problem("data.id", refused)
            return
        try:
            found = self.pin(spec)
            folder = self._folder(spec, found)
        except Unbuildable as refused:
            yield _problem(refused.field, refused)
            return
        except Refused as refused:
            yield _problem("model.id", refused)
            return
        yield from self._of_texts(spec, folder)
        yield from self._of_data(spec, fetch)
        if spec.evaluation.server and spec.data.id != "own":
            yield from self._of_scoring(spec, found, fetch)

    def _of_texts(self, spec: TaskSpec, folder: Path) -> Iterable[Problem]:
        from resources.datasets.text.templates import check_tokenizer
        from resources.models.language.configuration import read_config
        from resources.models.language.tokenizers import load_tokenizer

        try:
            check_tokenizer(load_tokenizer(folder, spec.model.gguf), spec.text, classifies=spec.model.classifies)
            config = read_config(spec.model, folder, self._labels(spec)).get_text_config()
        except Refused as refused:
            yield _problem("data.text", refused)
            return
        most = getattr(config, "max_position_embeddings", None)
        if most is not None and spec.text.max_length > most:
            problem = f"{spec.text.max_length} tokens are more than the {most} that the model takes"
            yield Problem(field="data.text.max_length", problem=problem, mend=f"give at most {most}")

    def _of_data(self, spec: TaskSpec, fetch: bool) -> Iterable[Problem]:
        if spec.data.id == "own":
            return
        try:
            if fetch or named.present(spec, "train", folder=self._data):
                shares.cut(spec, folder=self._data)
        except Refused as refused:
            yield _problem("data", refused)

    def _of_scoring(self, spec: TaskSpec, base: BasePin, fetch: bool) -> Iterable[Problem]:
        from resources.models.language.bases import fetch as fetched

        try:
            if fetch:
                fetched(spec.model, self.models, base)
        except Refused as refused:
            mend = f"{refused.mend}; or set evaluation.server to false, and only the nodes need the base model"
            yield Problem(field="evaluation.server", problem=refused.problem, mend=mend)

    def _cost(self, spec: TaskSpec, folder: Path) -> LanguageCost:
        """Refused as `cost` refuses."""
        from resources.models.language.cost import cost

        training = spec.training
        return cost(
            spec.model,
            folder,
            length=spec.text.max_length,
            rows=math.ceil(training.batch_size / training.accumulation),
            gradient_checkpointing=training.gradient_checkpointing,
            optimizer_states=2 if training.optimizer == "adam" else int(training.momentum > 0),
            num_labels=self._labels(spec),
        )

    def _folder(self, spec: TaskSpec, base: BasePin | None) -> Path:
        from resources.models.language.bases import describe

        return describe(spec.model, self.models, base)

    def _loaded(self, spec: TaskSpec, weights: Mapping[str, Tensor], base: BasePin) -> tuple[Any, Any]:
        from resources.models.language.adapter_model import load_adapter_model
        from resources.models.language.bases import fetch
        from resources.models.language.loaded import base_model
        from resources.models.language.tokenizers import load_tokenizer

        folder = fetch(spec.model, self.models, base)
        rule, labels = spec.aggregation.rule, self._labels(spec)
        with BUILDING:
            base_model(spec.model, folder, labels, beside_others=True)  # so that it is kept when it is asked for again
            model = load_adapter_model(spec.model, folder, weights, rule=rule, num_labels=labels)
        return model.eval(), load_tokenizer(folder, spec.model.gguf)

    @staticmethod
    def _labels(spec: TaskSpec) -> int | None:
        return named.num_classes(spec) if spec.model.classifies else None


def _problem(field: str, refused: Refused) -> Problem:
    return Problem(field=field, problem=refused.problem.removeprefix(f"{field}: "), mend=refused.mend)
