"""The federation's only sight of models and data: everything it asks of them goes through a `Workload`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from federation.base_pin import BasePin
from federation.coordinator.ports import Bounds, Written
from federation.errors import ErrorCode, Refused
from federation.evaluation import Evaluation, evaluate
from federation.partition import Indices, partition
from federation.spec import Problem, TaskSpec
from resources import budget
from resources.budget import Budget
from resources.datasets import named, shares
from resources.datasets.resident import TestSets
from resources.datasets.skew import Skew, skew
from resources.language import LanguageModels
from resources.models import catalogue as models
from resources.models.card import Unbuildable


class Workload:
    """Models and data sets of the catalogue, and pretrained models. Methods are synchronous and may be called from
    several threads.

    Args:
        data_folder: where `hub/<repository>/` may hold data sets' files; default: the environment's POTLUCK_DATA.
        models: folder of base models by name; what is not in it comes from the Hub.
    """

    def __init__(self, data_folder: Path | None = None, *, models: Path | None = None) -> None:
        self._folder = data_folder
        self._test_sets = TestSets(data_folder)
        self._language = LanguageModels(models, data_folder)

    def settle(self, spec: TaskSpec, *, fetch: bool = True) -> TaskSpec:
        """The task with its data pinned to the bit, where they are on the Hub; refusals as for `named.settle`."""
        return named.settle(spec, folder=self._folder, fetch=fetch)

    def pin(self, spec: TaskSpec) -> BasePin | None:
        """The base model of a task that trains adapters; None where the whole model is trained."""
        return self._language.pin(spec) if spec.model.pretrained else None

    def schema_for(self, spec: TaskSpec, base: BasePin | None = None) -> tuple[tuple[int, ...], int]:
        """Shape of one example, channels first, and number of classes; of texts, the tokens of an example and the
        vocabulary. Refused NOT_FOUND for unknown data."""
        return self._language.schema(spec, base) if spec.model.pretrained else budget.schema(self.settle(spec))

    @property
    def data_folder(self) -> Path | None:
        """The folder of data sets; None: the environment's POTLUCK_DATA."""
        return self._folder

    @property
    def models(self) -> Path | None:
        """The folder of base models."""
        return self._language.models

    def vocabulary(self, spec: TaskSpec) -> int:
        """How many tokens a pretrained model knows."""
        return self._language.vocabulary(spec)

    def build(self, spec: TaskSpec) -> nn.Module:
        """The task's model with the initial weights that `spec.seed` draws; a pretrained model's base has random ones.
        Refusals as for `create_model`."""
        if spec.model.pretrained:
            return self._language.build(spec)
        shape, classes = self.schema_for(spec)
        return models.create_model(
            spec.model.id, input_shape=shape, num_classes=classes, options=spec.model.options, seed=spec.seed
        )

    def initial_weights(self, spec: TaskSpec, base: BasePin | None = None) -> dict[str, Tensor]:
        """Version 0 of the global model, by name."""
        if spec.model.pretrained:
            return self._language.initial_weights(spec, base)
        return {name: tensor.detach() for name, tensor in self.build(spec).state_dict().items()}

    def trained(self, spec: TaskSpec) -> frozenset[str]:
        """Names of the tensors that training changes. Refusals as for `build`."""
        shape, classes = self.schema_for(spec)
        return models.trained(spec.model.id, input_shape=shape, num_classes=classes, options=spec.model.options)

    def cut(self, spec: TaskSpec) -> list[Indices]:
        """Which examples of the training set make up each share. Refusals as for `shares.cut`."""
        return shares.cut(spec, folder=self._folder)

    def skew(self, spec: TaskSpec) -> Skew | None:
        """What the cut looks like; None where the data set is not on this machine, or cannot be cut."""
        return skew(spec, folder=self._folder)

    def evaluate(self, spec: TaskSpec, weights: Mapping[str, Tensor], base: BasePin | None = None) -> Evaluation | None:
        """Score `weights` on the data set's test split; None for `own` data, which the server never sees.

        Raises:
            Refused: DATA_UNAVAILABLE when the test split is neither here nor to be fetched.
        """
        if spec.data.id == "own":
            return None
        if base is not None:
            return self._language.evaluate(spec, weights, base)
        tests = self._test_sets.get(spec)
        return evaluate(self._with_weights(spec, weights), tests.first(spec.evaluation.examples))

    def write(
        self, spec: TaskSpec, weights: Mapping[str, Tensor], prompts: list[str], base: BasePin, bounds: Bounds
    ) -> list[Written]:
        """How a language model goes on from each prompt."""
        return self._language.write(spec, weights, prompts, base, bounds)

    def predict(
        self, spec: TaskSpec, weights: Mapping[str, Tensor], inputs: list[Any], base: BasePin | None = None
    ) -> tuple[list[int], list[list[float]]]:
        """The likeliest class of each input, and the probability of every class.

        Args:
            inputs: examples as numbers, nested by axis or flat; values 0..1, as the model was trained on.

        Raises:
            Refused: INVALID_ARGUMENT, naming the input that has the wrong shape or is no number.
        """
        if base is not None:
            return self._language.classify(spec, weights, inputs, base)
        shape, _ = self.schema_for(spec)
        x = torch.stack([_example(row, value, shape) for row, value in enumerate(inputs)]) if inputs else None
        if x is None:
            raise Refused(ErrorCode.INVALID_ARGUMENT, "inputs is empty.", f"give examples of shape {list(shape)}")
        model = self._with_weights(spec, weights).eval()
        with torch.inference_mode():
            probabilities = model(x).softmax(dim=1)
        return probabilities.argmax(dim=1).tolist(), probabilities.tolist()

    def check(self, spec: TaskSpec, *, fetch: bool = True) -> list[Problem]:
        """Everything wrong with the spec that only models and data can tell; an empty list when it can run.

        Without `fetch`, a data set that is not on this machine is taken on trust instead of being downloaded, unless it
        is on the Hub and small.
        """
        try:
            spec = self.settle(spec, fetch=fetch)
            if wrong := [*named.pin_problems(spec, folder=self._folder, fetch=fetch)]:
                return wrong
        except named.NotLookedAt:
            return [*_of_optimizer(spec)]
        except Refused as refused:
            return [_problem(getattr(refused, "field", "data.id"), refused)]
        if spec.model.pretrained:
            return [*self._language.problems(spec, fetch=fetch), *_of_optimizer(spec)]
        try:
            self.schema_for(spec)
        except Refused as refused:
            return [_problem("data.id", refused)]
        return [*self._check_model(spec), *self._check_data(spec, fetch), *_of_optimizer(spec)]

    def estimate(self, spec: TaskSpec) -> Budget:
        """What a round will cost a node. Refusals as for `build`."""
        spec = self.settle(spec)
        return self._language.estimate(spec) if spec.model.pretrained else budget.estimate(spec)

    def _with_weights(self, spec: TaskSpec, weights: Mapping[str, Tensor]) -> nn.Module:
        shape, classes = self.schema_for(spec)
        return models.model_of(
            spec.model.id, weights, input_shape=shape, num_classes=classes, options=spec.model.options
        )

    def _check_model(self, spec: TaskSpec) -> Iterable[Problem]:
        try:
            self.estimate(spec)
        except Unbuildable as refused:
            yield _problem(refused.field, refused)

    def _check_data(self, spec: TaskSpec, fetch: bool) -> Iterable[Problem]:
        if spec.data.id == "own" or not (fetch or named.present(spec, "train", folder=self._folder)):
            return
        try:
            labels = named.labels(spec, "train", folder=self._folder)
            if spec.evaluation.server:
                named.labels(spec, "test", folder=self._folder)  # or the first round would find out
        except Refused as refused:
            if spec.evaluation.server:
                mend = f"{refused.mend}; or set evaluation.server to false, and only the nodes need the data"
                yield Problem(field="data.id", problem=refused.problem, mend=mend)
            return
        try:
            natural = spec.data.partition.kind == "natural"
            users = named.users(spec, "train", folder=self._folder) if natural else None
            partition(labels, spec.data.partition, spec.partition_seed, users=users)
        except Refused as refused:
            yield _problem("data.partition", refused)


def _of_optimizer(spec: TaskSpec) -> Iterable[Problem]:
    if spec.training.optimizer == "adam" and spec.training.momentum:
        mend = "set training.momentum to 0, or training.optimizer to sgd"
        yield Problem(field="training.momentum", problem="momentum belongs to sgd, not adam", mend=mend)


def _problem(field: str, refused: Refused) -> Problem:
    return Problem(field=field, problem=refused.problem.removeprefix(f"{field}: "), mend=refused.mend)


def _example(row: int, value: Any, shape: tuple[int, ...]) -> Tensor:
    mend = f"give numbers of shape {list(shape)}, or {math.prod(shape)} in a flat list, with values 0..1"
    try:
        x = torch.tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"inputs[{row}] is not an array of numbers: {error}.", mend) from None
    if x.shape not in (torch.Size(shape), torch.Size([math.prod(shape)])):
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"inputs[{row}] has shape {list(x.shape)}.", mend)
    if not bool(x.isfinite().all()):
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"inputs[{row}] holds NaN or infinity.", mend)
    return x.reshape(shape)
