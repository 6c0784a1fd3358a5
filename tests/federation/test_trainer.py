from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
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
        ({"bias": torch.full((3,), 1e300, dtype=torch.float64)}, "'bias' holds .* or larger ones than F32 does"),
        ({"bias": torch.ones(3, dtype=torch.complex64)}, "'bias' holds torch.complex64, and the model real numbers"),
        ({"bias": "x"}, "'bias' cannot be made of str"),
        ({"bias": None}, "'bias' cannot be made of NoneType"),
        ({"bias": [[1.0], [2.0, 3.0]]}, "'bias' cannot be made of list"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_the_tensors_name(tensors: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        learnt_with(tensors=tensors)
    assert caught.value.code is ErrorCode.BAD_UPDATE


@pytest.mark.parametrize("weights", [None, "weight", [torch.zeros(3, 2), torch.zeros(3)]])
def test_weights_without_names_are_refused(weights: Any) -> None:
    with pytest.raises(Refused, match=f"weights are {type(weights).__name__}, no mapping") as caught:
        learnt_with(weights=weights)
    assert caught.value.code is ErrorCode.BAD_UPDATE


def test_a_counter_that_no_integer_holds_is_refused() -> None:
    counted = {"steps": torch.tensor(3)}
    answer = Learnt({"steps": torch.tensor(1e30)}, 1, 1)
    with pytest.raises(Refused, match="larger ones than I64 does"):
        learn(lambda _: answer, lesson(), counted)
    assert learn(lambda _: Learnt({"steps": 4.0}, 1, 1), lesson(), counted).weights["steps"] == 4  # type: ignore[dict-item]


def test_a_tensor_that_is_missing_is_named() -> None:
    with pytest.raises(Refused, match="'bias' is missing"):
        learnt_with(weights={"weight": torch.zeros(3, 2)})


def test_arrays_of_another_precision_become_the_models() -> None:
    learnt = learnt_with(tensors={"weight": torch.ones(3, 2, dtype=torch.float64).numpy()})
    assert learnt.weights["weight"].dtype is torch.float32
    assert torch.equal(learnt.weights["weight"], torch.ones(3, 2))


@pytest.mark.parametrize("count", [0, -1, True, 2.5, None, 2**80, "4"])
def test_counts_are_whole_numbers_from_one(count: Any) -> None:
    with pytest.raises(Refused, match="num_examples") as caught:
        learnt_with(num_examples=count)
    assert caught.value.code is ErrorCode.BAD_COUNT


def test_a_count_of_numpys_is_a_count() -> None:
    learnt = learnt_with(num_examples=np.int64(5), num_steps=np.uint8(2))
    assert (learnt.num_examples, learnt.num_steps) == (5, 2)
    assert type(learnt.num_examples) is int


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        (None, "metrics are NoneType, no mapping"),
        ([("loss", 1.0)], "metrics are list, no mapping"),
        ({"acc": "good"}, "metric acc is str, no number"),
        ({"acc": None}, "metric acc is NoneType, no number"),
        ({"acc": torch.ones(2)}, "metric acc is Tensor, no number"),
        ({"acc": 10**400}, "metric acc is int, no number"),
        ({f"m{place}": 0.0 for place in range(31)}, "reports 31 metrics; allowed are 30"),
    ],
)
def test_metrics_that_are_no_numbers_are_refused_by_their_names(metrics: Any, says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        learnt_with(metrics=metrics)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


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


def test_partials_are_one_where_their_functions_and_arguments_are() -> None:
    def train(given: Lesson, rate: Any, *, more: Any = None) -> Learnt:
        raise AssertionError

    def other(given: Lesson, rate: Any) -> Learnt:
        raise AssertionError

    def called(function: Any, *arguments: Any, **options: Any) -> str:
        return name_of(functools.partial(function, *arguments, **options))

    assert called(train, rate=0.1, more=[1, {"a": None}]) == called(train, more=[1, {"a": None}], rate=0.1)
    assert "train with " in called(train)
    mine = np.zeros(9)
    calls = [called(train, rate=0.1), called(train, rate=0.2), called(other, rate=0.1), called(train, rate="0.1")]
    calls += [called(train, rate=mine), called(train, rate=np.zeros(9)), called(train, 0.1)]
    assert len(set(calls)) == len(calls)
    assert called(train, rate=mine) == called(train, rate=mine)
