"""What a task will cost, estimated from its spec without allocating anything."""

from __future__ import annotations

import math
from dataclasses import dataclass

from federation.spec import TaskSpec
from resources.datasets import named
from resources.datasets.shares import examples_per_node
from resources.models import catalogue as models

_FLOAT = 4


@dataclass(frozen=True)
class Budget:
    """An estimate for one node and one round, to an order of magnitude.

    Attributes:
        parameters: values in the model.
        model_bytes: the model in float32, without the few hundred bytes of the file's header.
        bytes_per_round_per_node: one model down, one uncompressed update up; with control variates two of each.
        memory_bytes: weights received, weights trained, gradient, the optimiser's state, the update, one batch's
            activations, and the node's examples where their number is known; with control variates the server's, the
            node's own, their difference and their change; not the some 200 MB of PyTorch itself.
        flops_per_round_per_node: three forward passes a training step (Kaplan et al. 2020, arXiv:2001.08361, §2.1);
            None where a node brings its own examples, whose number nobody knows.
        base_parameters, base_bytes: of a base model, which the nodes have and nobody sends.
    """

    parameters: int
    model_bytes: int
    bytes_per_round_per_node: int
    memory_bytes: int
    flops_per_round_per_node: int | None
    base_parameters: int | None = None
    base_bytes: int | None = None


def estimate(spec: TaskSpec) -> Budget:
    """The budget of `spec`. Refused NOT_FOUND or INVALID_SPEC when its model or data do not exist or fit."""
    shape, classes = schema(spec)
    cost = models.cost(spec.model.id, input_shape=shape, num_classes=classes, options=spec.model.options)
    model_bytes = _FLOAT * cost.parameters
    training = spec.training
    state = 2 if training.optimizer == "adam" else int(training.momentum > 0)
    variates = spec.aggregation.control_variates
    examples = examples_per_node(spec)
    batch = training.batch_size if examples is None else min(training.batch_size, examples)
    # What the backward pass needs (outputs after ReLU, pooling indices), gradients, and the kernels' workspace.
    activations = 3 * _FLOAT * cost.activations * batch
    data = _FLOAT * math.prod(shape) * (examples or 0)
    flops = None
    if examples is not None:
        seen = training.epochs * examples
        if training.max_steps is not None:
            seen = min(seen, training.max_steps * batch)
        flops = 3 * cost.forward_flops * seen
    return Budget(
        parameters=cost.parameters,
        model_bytes=model_bytes,
        bytes_per_round_per_node=(4 if variates else 2) * model_bytes,
        memory_bytes=(4 + state + (4 if variates else 0)) * model_bytes + activations + data,
        flops_per_round_per_node=flops,
    )


def schema(spec: TaskSpec) -> tuple[tuple[int, ...], int]:
    """Shape of one example and number of classes. Refused NOT_FOUND for an unknown data set."""
    if spec.data.id == "own":
        if spec.data.input_shape is None or spec.data.num_classes is None:
            raise ValueError("data.id `own` without input_shape and num_classes; TaskSpec refuses that")
        return spec.data.input_shape, spec.data.num_classes
    card = named.image_card(spec)
    return card.input_shape, card.num_classes
