from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from federation.errors import Refused
from federation.evaluation import evaluate
from federation.examples import Examples


def logits_as_given() -> nn.Module:
    return nn.Identity()


def test_loss_and_accuracies_are_those_computed_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3), -math.inf], [0.0, math.log(3), -math.inf], [5.0, 5.0, 6.0]])
    result = evaluate(logits_as_given(), Examples(logits, torch.tensor([1, 0, 2])))
    third = -math.log(math.e / (2 + math.e))
    assert result.num_examples == 3
    assert result.loss == pytest.approx((math.log(4 / 3) + math.log(4) + third) / 3)
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.per_class_accuracy == [0.0, 1.0, 1.0]


def test_a_class_without_examples_has_no_accuracy() -> None:
    result = evaluate(logits_as_given(), Examples(torch.eye(3), torch.tensor([0, 0, 0])))
    assert result.per_class_accuracy == [pytest.approx(1 / 3), None, None]


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_does_not_change_the_result(batch_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    examples = Examples(torch.randn(100, 4, generator=generator), torch.arange(100) % 4)
    whole, batched = evaluate(logits_as_given(), examples), evaluate(logits_as_given(), examples, batch_size)
    assert batched.loss == pytest.approx(whole.loss)
    assert (batched.accuracy, batched.per_class_accuracy) == (whole.accuracy, whole.per_class_accuracy)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_scored_in_eval_mode_and_left_in_its_own(training: bool) -> None:
    model = nn.Sequential(nn.Dropout(0.9)).train(training)
    result = evaluate(model, Examples(torch.eye(4), torch.arange(4)))
    assert result.accuracy == 1.0
    assert model.training is training


def test_scoring_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="no examples"):
        evaluate(logits_as_given(), Examples(torch.empty(0, 2), torch.empty(0, dtype=torch.int64)))
