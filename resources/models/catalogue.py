"""The models that Potluck can train: listed, built from a seed, and weighed without being built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from federation.errors import ErrorCode
from federation.training import trained_parameters
from resources.models.card import Family, ModelCard, Options, Shape, Unbuildable
from resources.models.cifar10_cnn import CIFAR10_CNN
from resources.models.initialisation import initialise
from resources.models.mcmahan_cnn import MCMAHAN_CNN
from resources.models.mnist_cnn import MNIST_CNN
from resources.models.perceptrons import LOGISTIC, MCMAHAN_2NN, MLP
from resources.models.shapes import pass_through

RawOptions = Mapping[str, int | float | bool | str]

_FAMILIES: dict[str, Family] = {
    family.card.id: family for family in (MLP, MNIST_CNN, CIFAR10_CNN, MCMAHAN_CNN, MCMAHAN_2NN, LOGISTIC)
}


def models() -> tuple[ModelCard, ...]:
    """Every model of the catalogue."""
    return tuple(family.card for family in _FAMILIES.values())


def card(id: str) -> ModelCard:
    """The card of model `id`; Refused NOT_FOUND with the known ids."""
    return _family(id).card


def create_model(
    id: str, *, input_shape: Shape, num_classes: int, options: RawOptions | None = None, seed: int = 0
) -> nn.Module:
    """A model with initial weights drawn from `seed`; torch's global random state is neither read nor moved.

    Args:
        id: a model of the catalogue.
        input_shape: of one example, without the batch axis, channels first.
        num_classes: width of the logits.
        options: the model's own; those left out take their defaults.
        seed: equal seeds give bit-equal weights.

    Raises:
        Unbuildable: a Refused, NOT_FOUND for an unknown id, INVALID_SPEC for a shape or option it cannot take;
            it names the field.
    """
    model = _skeleton(id, input_shape, num_classes, options)
    # What `to_empty` does, without the compiler that it loads (see resources.models.shapes).
    empty = {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict(empty, assign=True)
    initialise(model, seed, _family(id).gain)
    return model


def model_of(
    id: str, weights: Mapping[str, Tensor], *, input_shape: Shape, num_classes: int, options: RawOptions | None = None
) -> nn.Module:
    """The model that has these very tensors as its weights: nothing is drawn, and nothing is copied.

    Whoever trains it changes `weights`. Refusals as for `create_model`; RuntimeError for other names or shapes.
    """
    model = _skeleton(id, input_shape, num_classes, options)
    model.load_state_dict(dict(weights), assign=True)
    return model


@dataclass(frozen=True)
class Cost:
    """What one model weighs.

    Attributes:
        parameters: values in its state, float32.
        forward_flops: for one example, in linear layers and convolutions, a multiply-add counted as two.
        activations: values that those layers put out for one example, and the example itself.
    """

    parameters: int
    forward_flops: int
    activations: int


def parameter_count(id: str, *, input_shape: Shape, num_classes: int, options: RawOptions | None = None) -> int:
    """How many values the model's state holds; nothing is allocated. Refusals as for `create_model`."""
    return _count(_skeleton(id, input_shape, num_classes, options))


def cost(id: str, *, input_shape: Shape, num_classes: int, options: RawOptions | None = None) -> Cost:
    """Size and work of the model, from a pass without data; nothing is allocated. Refusals as for `create_model`.

    A training step costs about three forward passes.
    """
    model = _skeleton(id, input_shape, num_classes, options)
    flops = activations = 0

    def count(module: nn.Module, inputs: object, output: Tensor) -> None:
        nonlocal flops, activations
        assert isinstance(module, nn.Linear | nn.Conv2d)  # noqa: S101 - registered on these alone
        activations += output.numel()
        flops += 2 * output.numel() * module.weight[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(count)
    pass_through(model, (1, *input_shape))
    return Cost(_count(model), flops, activations + math.prod(input_shape))


def trained(id: str, *, input_shape: Shape, num_classes: int, options: RawOptions | None = None) -> frozenset[str]:
    """Names of the tensors that want a gradient; nothing is allocated. Refusals as for `create_model`."""
    return frozenset(name for name, _ in trained_parameters(_skeleton(id, input_shape, num_classes, options)))


def _count(model: nn.Module) -> int:
    return sum(tensor.numel() for tensor in model.state_dict().values())


def _skeleton(id: str, shape: Shape, classes: int, options: RawOptions | None) -> nn.Module:
    """The model on the meta device: shapes without memory, and without a draw of the global generator."""
    family = _family(id)
    _check_shape(family.card, shape)
    if classes < 2:
        raise Unbuildable("data.num_classes", f"{classes} is too few", "give at least 2 classes")
    with torch.device("meta"):
        return family.build(shape, classes, _complete(family.card, options or {}))


def _family(id: str) -> Family:
    try:
        return _FAMILIES[id]
    except KeyError:
        known = ", ".join(_FAMILIES)
        raise Unbuildable("model.id", f"there is no model {id!r}", f"use one of {known}", ErrorCode.NOT_FOUND) from None


def _check_shape(card: ModelCard, shape: Shape) -> None:
    if not shape or any(side < 1 for side in shape):
        raise Unbuildable("data.input_shape", f"{list(shape)} is no shape", "give positive sizes, e.g. [1, 28, 28]")
    if card.input_rank is None:
        return
    if len(shape) != card.input_rank or min(shape[1:]) < card.min_side:
        raise Unbuildable(
            "model.id",
            f"{card.id} cannot take inputs of shape {list(shape)}",
            f"it takes [channels, height, width] with sides of {card.min_side} or more; "
            "choose such data, or a model for any shape such as mlp",
        )


def _complete(card: ModelCard, options: RawOptions) -> Options:
    for name in options:
        if name not in card.options:
            known = ", ".join(card.options) or "none"
            raise Unbuildable(f"model.options.{name}", f"{card.id} has no such option", f"its options are: {known}")
    complete: dict[str, int] = {}
    for name, option in card.options.items():
        value = options.get(name, option.default)
        if isinstance(value, bool) or not isinstance(value, int) or not option.minimum <= value <= option.maximum:
            raise Unbuildable(
                f"model.options.{name}",
                f"{value!r} is out of range",
                f"give a whole number from {option.minimum} to {option.maximum}",
            )
        complete[name] = value
    return complete
