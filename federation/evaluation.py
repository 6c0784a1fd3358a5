"""Scoring a model on labelled examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from federation.errors import ErrorCode, Refused
from federation.training import Examples


@dataclass(frozen=True)
class Evaluation:
    """How a model did: mean cross-entropy and share of right answers, over all examples and by class.

    `per_class_accuracy[c]` is the share of right answers among examples of class c (its recall), None where there
    are no such examples. `loss` is not finite when the model's logits are not.
    """

    num_examples: int
    loss: float
    accuracy: float
    per_class_accuracy: list[float | None]


def evaluate(model: nn.Module, examples: Examples, batch_size: int = 128) -> Evaluation:
    """Score `model` (from x [n, ...] to logits [n, classes]) on `examples`; leaves the model's mode as it was.

    The batch size changes speed and memory, not the result beyond rounding; on a CPU small batches stay in its cache.

    Raises:
        Refused: BAD_DATA without examples.
    """
    if len(examples) == 0:
        raise Refused(ErrorCode.BAD_DATA, "there are no examples to score.", "use a split with examples in it")
    loss_sum = torch.zeros((), dtype=torch.float64)
    right: torch.Tensor | None = None
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for x, y in zip(torch.split(examples.x, batch_size), torch.split(examples.y, batch_size), strict=True):
                logits = model(x)
                loss_sum += F.cross_entropy(logits, y, reduction="sum")
                if right is None:
                    right = torch.zeros(logits.shape[1], dtype=torch.int64)
                right += y[logits.argmax(dim=1) == y].bincount(minlength=len(right))
    finally:
        model.train(was_training)
    assert right is not None  # noqa: S101 - there was a batch
    present = examples.y.bincount(minlength=len(right))
    n = len(examples)
    per_class = [int(r) / int(p) if p else None for r, p in zip(right, present, strict=True)]
    return Evaluation(n, float(loss_sum) / n, int(right.sum()) / n, per_class)
