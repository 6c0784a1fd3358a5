from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.spec import parse_spec
from federation.trainer import Learnt, Lesson, check_trainable, learn, name_of, reporter
from federation.training import Progress, Stopped

SPEC = parse_spec({"name": "t", "model": {"id": "logistic"}, "data": {"id": "digits"}})


def lesson() -> Lesson:
    examples = Examples(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    nobody = reporter(lambda progress: None, lambda: False)
    return Lesson(torch.nn.Linear(2, 3), examples, examples, SPEC, 1, 7, 0, nobody)


def learnt_with(**changes: Any) -> Learnt:
    """What becomes of a trainer that answers the model as it came, with these changes."""
    given = lesson()
    start = {name: tensor.clone() for name, tensor in given.model.state_dict().items()}
    answer: dict[str, Any] = {"weights": dict(given.model.state_dict()), "num_examples": 4, "num_steps": 2} | changes
    if "tensors" in answer:
        answer["weights"] |= answer.pop("tensors")
    return learn(lambda _: Learnt(**answer), given, start)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"weight": torch.zeros(2, 3)}, r"'weight' has shape \[2, 3\], where the model's is \[3, 2\]"),
        ({"bias": torch.tensor([0.0, math.nan, 0.0])}, "'bias' holds NaN"),
        ({"extra": torch.zeros(1)}, "'extra' is none of the model's"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_the_tensors_name(tensors: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        learnt_with(tensors=tensors)
    assert caught.value.code is ErrorCode.BAD_UPDATE


def test_a_tensor_that_is_missing_is_named() -> None:
    with pytest.raises(Refused, match="'bias' is missing"):
        learnt_with(weights={"weight": torch.zeros(3, 2)})


def test_arrays_of_another_precision_become_the_models() -> None:
    learnt = learnt_with(tensors={"weight": torch.ones(3, 2, dtype=torch.float64).numpy()})
    assert learnt.weights["weight"].dtype is torch.float32
    assert torch.equal(learnt.weights["weight"], torch.ones(3, 2))


@pytest.mark.parametrize("count", [0, -1, True, 2.5, None])
def test_counts_are_whole_numbers_from_one(count: Any) -> None:
    with pytest.raises(Refused, match="num_examples") as caught:
        learnt_with(num_examples=count)
    assert caught.value.code is ErrorCode.BAD_COUNT


def test_metrics_that_are_not_finite_are_left_out_and_names_that_no_server_takes_refused() -> None:
    assert learnt_with(metrics={"train_loss": 0.5, "f1": math.inf}).metrics == {"train_loss": 0.5}
    with pytest.raises(Refused, match="Train Loss"):
        learnt_with(metrics={"Train Loss": 0.5})


def test_a_trainer_that_breaks_or_answers_something_else_is_refused_in_words() -> None:
    given = lesson()

    def breaks(_: Lesson) -> Learnt:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(Refused, match=r"round 1: ZeroDivisionError: division by zero\."):
        learn(breaks, given, given.model.state_dict())
    with pytest.raises(Refused, match="answered dict, not Learnt"):
        learn(lambda _: {}, given, given.model.state_dict())  # type: ignore[arg-type, return-value]


def test_progress_is_told_and_ends_a_training_that_nobody_waits_for() -> None:
    told: list[Progress] = []
    wanted = [True]
    progress = reporter(told.append, lambda: not wanted)
    progress(1, 2, 0.5, examples=8)
    assert (told[0].step, told[0].total_steps, told[0].loss) == (1, 2, 0.5)
    assert math.isnan(told[0].accuracy)
    assert told[0].examples_per_s > 0
    wanted.clear()
    with pytest.raises(Stopped):
        progress(2, 2, 0.4)


def test_control_variates_are_beyond_a_trainer() -> None:
    scaffold = parse_spec(SPEC.model_dump() | {"aggregation": {"rule": "scaffold"}})
    with pytest.raises(Refused, match="scaffold corrects every gradient") as caught:
        check_trainable(scaffold)
    assert caught.value.code is ErrorCode.INCOMPATIBLE_NODE
    check_trainable(SPEC)


def test_a_function_and_an_object_have_names() -> None:
    class Own:
        def __call__(self, given: Lesson) -> Learnt:
            raise AssertionError

    assert name_of(learnt_with).endswith("test_trainer.learnt_with")  # type: ignore[arg-type]
    assert name_of(Own()).endswith("Own")
