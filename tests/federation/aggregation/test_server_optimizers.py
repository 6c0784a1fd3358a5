"""Server optimisers: two rounds by hand, the state that goes along, and what must not get into it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from federation.aggregation.fedadagrad import FedAdagrad
from federation.aggregation.fedadam import FedAdam
from federation.aggregation.fedavgm import FedAvgM
from federation.aggregation.fedyogi import FedYogi
from federation.aggregation.methods import METHODS, Kind, options_of
from federation.aggregation.server_optimizer import ServerOptimizer, State, take_step
from federation.errors import Refused
from tests.federation.aggregation.small_round import Round, row_of

CLASSES: dict[str, type[Any]] = {
    "fedavgm": FedAvgM, "fedadagrad": FedAdagrad, "fedadam": FedAdam, "fedyogi": FedYogi
}  # fmt: skip
EACH = pytest.mark.parametrize("rule", CLASSES)


def steps(optimizer: ServerOptimizer, *deltas: float) -> list[float]:
    """What is added to a single weight, round after round."""
    state: State = {}
    taken = []
    for delta in deltas:
        moved, state = take_step(optimizer, {"w": torch.tensor([delta], dtype=torch.float64)}, state)
        taken.append(moved["w"].item())
    return taken


def test_every_server_optimiser_takes_its_options_and_shares_their_defaults() -> None:
    assert CLASSES.keys() == {name for name, method in METHODS.items() if method.kind is Kind.OPTIMIZER}
    for rule, optimizer in CLASSES.items():
        assert optimizer() == optimizer(**options_of(rule, {}).model_dump())


def test_fedavgm_adds_up_with_momentum() -> None:
    assert steps(FedAvgM(eta=1.0, beta=0.5), 8.0, 4.0, 0.0) == [8.0, 8.0, 4.0]
    assert steps(FedAvgM(eta=0.5, beta=0.5), 8.0, 4.0) == [4.0, 4.0]
    assert steps(FedAvgM(eta=1.0, beta=0.0), 8.0, 4.0) == [8.0, 4.0]


def test_fedadagrad_divides_by_all_squares_so_far() -> None:
    # τ = 1: v = 1 + 8 · 8 = 65, then 65 + 16 = 81; m is Δ.
    taken = steps(FedAdagrad(eta=1.0, tau=1.0), 8.0, 4.0)
    assert taken == pytest.approx([8 / (math.sqrt(65) + 1), 4 / (9 + 1)])


def test_fedadam_divides_by_a_moving_mean_of_squares() -> None:
    # τ = 1, β₁ = β₂ = 1/2. m = 4, v = 1/2 + 32; then m = 2 + 2, v = 16.25 + 8.
    taken = steps(FedAdam(eta=1.0, beta1=0.5, beta2=0.5, tau=1.0), 8.0, 4.0)
    assert taken == pytest.approx([4 / (math.sqrt(32.5) + 1), 4 / (math.sqrt(24.25) + 1)])


def test_fedyogi_moves_its_squares_by_a_share_of_the_new_one() -> None:
    # τ = 1, β₁ = β₂ = 1/2. v = 1 + 1/2 · 64 = 33 as 1 < 64; then v = 33 - 1/2 · 16 = 25 as 33 > 16.
    taken = steps(FedYogi(eta=1.0, beta1=0.5, beta2=0.5, tau=1.0), 8.0, 4.0)
    assert taken == pytest.approx([4 / (math.sqrt(33) + 1), 4 / (5 + 1)])


def test_fedyogi_stays_where_the_square_is_what_it_expects() -> None:
    assert steps(FedYogi(eta=1.0, beta1=0.0, tau=1.0), 1.0, 1.0) == [0.5, 0.5]


@pytest.mark.parametrize("rule", ["fedadagrad", "fedadam", "fedyogi"])
def test_without_a_delta_nothing_moves(rule: str) -> None:
    assert steps(CLASSES[rule](), 0.0, 0.0) == [0.0, 0.0]


@EACH
def test_the_state_goes_from_round_to_round_and_is_not_written_to(rule: str) -> None:
    with Round([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], dtype=torch.float32) as small:
        first = small.run(rule)
        kept = {name: tensor.clone() for name, tensor in first.state.items()}
        second = small.run(rule, state=first.state)
        again = small.run(rule, state=first.state)
    slots = CLASSES[rule]().slots
    names = ("a.scalar", "b.rest", "c.empty")
    assert first.state.keys() == {f"{slot}/{name}" for slot in slots for name in names}
    assert all(torch.equal(first.state[name], tensor) for name, tensor in kept.items())
    assert all(torch.equal(second.weights[name], again.weights[name]) for name in names)
    assert row_of(first.weights).tolist() != row_of(second.weights).tolist()
    assert first.state[f"{slots[0]}/b.rest"].dtype is torch.float32


@EACH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_state_of_a_half_precision_model_is_float32(rule: str, dtype: torch.dtype) -> None:
    with Round([[1e-4, 1e-4]], dtype=dtype) as small:
        done = small.run(rule)
    assert {tensor.dtype for tensor in done.state.values()} == {torch.float32}
    assert np.isfinite(row_of(done.weights)).all()


@pytest.mark.parametrize("rule", ["fedadagrad", "fedadam", "fedyogi"])
def test_squares_that_float32_cannot_hold_are_refused_before_they_get_into_the_state(rule: str) -> None:
    with Round([[1e25, 1.0]], dtype=torch.float32) as small, pytest.raises(Refused, match=r"'a\.scalar' is not finite"):
        small.run(rule)
