"""Scoring a model on labelled examples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.model_spec import ModelSpec
from federation.objective import CLASSIFICATION, NEXT_TOKEN, Objective

TEXTS_AT_A_TIME = 4
"""A language model's logits are large: 128 tokens of 50,000 words take 25 MB an example."""


@dataclass(frozen=True)
class Evaluation:
    """How a model did: mean cross-entropy (nats) and share of right answers, over all examples and by class.

    `per_class_accuracy[c]` is the share of right answers among examples of class c (its recall), None where there
    are no such examples. `loss` is not finite when the model's logits are not. Of a model that writes, the loss is the
    mean over `num_tokens` tokens to be predicted, `token_accuracy` the share of them that the likeliest token gets
    right, and there is no accuracy: it is judged by its loss.
    """

    num_examples: int
    loss: float
    accuracy: float | None
    per_class_accuracy: list[float | None]
    num_tokens: int | None = None
    token_accuracy: float | None = None

    @property
    def counted(self) -> int:
        """What a mean over several evaluations weighs this one by: examples; of a model that writes, tokens."""
        return self.num_examples if self.num_tokens is None else self.num_tokens

    @property
    def perplexity(self) -> float | None:
        """exp(loss), of a model that writes; infinite where that is beyond a float."""
        return None if self.num_tokens is None else perplexity_of(self.loss)


def perplexity_of(loss: float) -> float:
    """exp(loss); infinite where that is beyond a float."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def evaluate(model: nn.Module, examples: Examples, batch_size: int = 128) -> Evaluation:
    """Score `model` (from x [n, ...] to logits [n, classes]) on `examples`; leaves the model's mode as it was.

    The batch size changes speed and memory, not the result beyond rounding; on a CPU small batches stay in its cache.

    Raises:
        Refused: BAD_DATA without examples.
    """
    loss_sum = torch.zeros((), dtype=torch.float64)
    right: torch.Tensor | None = None
    with _evaluating(model, examples):
        for x, y in zip(torch.split(examples.x, batch_size), torch.split(examples.y, batch_size), strict=True):
            logits = model(x)
            loss_sum += F.cross_entropy(logits, y, reduction="sum")
            if right is None:
                right = torch.zeros(logits.shape[1], dtype=torch.int64)
            right += y[logits.argmax(dim=1) == y].bincount(minlength=len(right))
    assert right is not None  # noqa: S101 - there was a batch
    present = examples.y.bincount(minlength=len(right))
    n = len(examples)
    per_class = [int(r) / int(p) if p else None for r, p in zip(right, present, strict=True)]
    return Evaluation(n, float(loss_sum) / n, int(right.sum()) / n, per_class)


def evaluate_text(model: nn.Module, examples: Examples, batch_size: int = TEXTS_AT_A_TIME) -> Evaluation:
    """As `evaluate`, for a model that writes: from token ids x [n, T] to logits [n, T, vocabulary].

    Raises:
        Refused: BAD_DATA without a token to predict.
    """
    loss_sum, tokens, right = torch.zeros((), dtype=torch.float64), 0, 0
    with _evaluating(model, examples):
        for x, y in zip(torch.split(examples.x, batch_size), torch.split(examples.y, batch_size), strict=True):
            part = NEXT_TOKEN.targets(y)
            if part:
                seen, wanted = NEXT_TOKEN.narrowed(x, y)
                loss, correct = NEXT_TOKEN.score(model(seen), wanted)
                loss_sum += loss.double() * part
                tokens, right = tokens + part, right + int(correct.sum())
    if not tokens:
        raise Refused(ErrorCode.BAD_DATA, "the examples have nothing to predict.", "use a split with labels in it")
    return Evaluation(len(examples), float(loss_sum) / tokens, None, [], tokens, right / tokens)


def objective_of(model: ModelSpec) -> Objective:
    """What training lessens."""
    return CLASSIFICATION if model.classifies else NEXT_TOKEN


def judge(spec: ModelSpec, model: nn.Module, examples: Examples) -> Evaluation:
    """`model` scored on `examples` as its spec asks for. Refusals as for `evaluate`."""
    if not spec.classifies:
        return evaluate_text(model, examples)
    return evaluate(model, examples, TEXTS_AT_A_TIME) if spec.pretrained else evaluate(model, examples)


@contextmanager
def _evaluating(model: nn.Module, examples: Examples) -> Iterator[None]:
    if len(examples) == 0:
        raise Refused(ErrorCode.BAD_DATA, "there are no examples to score.", "use a split with examples in it")
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
