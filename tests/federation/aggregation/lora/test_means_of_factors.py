"""Rules that average A and B apart: exact where A is frozen, and else with an error that they tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from federation.aggregation.fedadam import FedAdam
from federation.aggregation.server_optimizer import take_step
from federation.model_spec import LoraSpec
from federation.weights import to_bytes
from tests.federation.aggregation.lora.small_adapters import (
    Round,
    draw_update,
    draw_version,
    gap,
    mean_of_products,
    product,
    small_round,
    trained_on,
)

MEANS = ["fedavg", "fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi"]


def mean_of_factors(small: Round, weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """Of A and of B apart, float64; what a node has not trained counts as it was."""
    return {
        name: sum((w * own[name] for w, own in zip(weights, small.local, strict=True)), torch.zeros(1))
        for name in small.version
    }


def error_of(small: Round, weights: Sequence[float]) -> tuple[float, dict[str, float]]:
    """‖mean(B) mean(A) - mean(B A)‖ / ‖mean(B A)‖, dense, over all layers and in each."""
    factors, means = mean_of_factors(small, weights), mean_of_products(small, weights)
    gaps = {name: float((product(factors, name) - mean).norm()) for name, mean in means.items()}
    lengths = {name: float(mean.norm()) for name, mean in means.items()}
    return math.hypot(*gaps.values()) / math.hypot(*lengths.values()), {n: gaps[n] / lengths[n] for n in gaps}


@pytest.mark.parametrize("ranks", [[4, 4, 4], [8, 4, 8, 1], [8]], ids=str)
@pytest.mark.parametrize("b", [0.0, 0.3])
def test_frozen_a_makes_the_mean_of_b_exact(ranks: Sequence[int], b: float) -> None:
    counts = list(range(1, 1 + len(ranks)))
    with small_round(ranks=ranks, r=8, rule="ffa", counts=counts, b=b, head=True) as small:
        done = small.run("ffa")
        for name, mean in mean_of_products(small, [count / sum(counts) for count in counts]).items():
            assert gap(product(done.weights, name), mean) < 3e-7
            assert torch.equal(done.weights[name], small.version[name])
        assert done.metrics["lora_error"] == 0.0


@pytest.mark.parametrize("ranks", [[4, 4, 4], [8, 4, 8, 1], [8]], ids=str)
@pytest.mark.parametrize("rule", MEANS)
def test_the_error_of_averaging_factors_is_the_dense_one(rule: str, ranks: Sequence[int]) -> None:
    counts = [7, 1, 2, 5][: len(ranks)]
    weights = [count / sum(counts) for count in counts]
    with small_round(ranks=ranks, r=8, counts=counts, head=True) as small:
        done = small.run(rule)
        total, by_layer = error_of(small, weights)
    assert done.metrics["lora_error"] == pytest.approx(total, abs=1e-7)
    for name, error in by_layer.items():
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        assert done.metrics[f"lora_error.{module}"] == pytest.approx(error, abs=1e-7)
    assert (total > 0.01) == (len(ranks) > 1)


@pytest.mark.parametrize("rule", ["fedavg", "fedprox"])
def test_factors_and_head_come_to_their_plain_means(rule: str) -> None:
    with small_round(ranks=[8, 4, 1], r=8, counts=[1, 1, 2], head=True) as small:
        done = small.run(rule)
        for name, mean in mean_of_factors(small, [0.25, 0.25, 0.5]).items():
            torch.testing.assert_close(done.weights[name].double(), mean, rtol=1e-6, atol=1e-7)


def test_a_server_optimiser_steps_along_the_means_of_factors_from_its_own_state() -> None:
    version = draw_version(0, 4, head=True)
    state: dict[str, torch.Tensor] = {}
    expected_state: dict[str, torch.Tensor] = {}
    for number in range(3):
        updates = [draw_update(10 * number + i, version, 4, rank) for i, rank in enumerate((4, 2))]
        with Round(version, updates, lora=LoraSpec(r=4)) as small:
            done = small.run("fedadam", state=state)
            mean = mean_of_factors(small, [0.5, 0.5])
        delta = {name: (mean[name] - version[name].double()).float() for name in sorted(version)}
        step, expected_state = take_step(FedAdam(), delta, expected_state)
        for name, tensor in version.items():
            torch.testing.assert_close(done.weights[name], tensor + step[name], rtol=1e-5, atol=1e-6)
        assert done.state.keys() == expected_state.keys()
        version, state = done.weights, done.state


def test_a_mean_of_products_that_is_zero_where_that_of_factors_is_not_has_no_relative_error() -> None:
    version = {
        "base_model.model.q.lora_A.weight": torch.eye(2),
        "base_model.model.q.lora_B.weight": torch.zeros(2, 2),
    }
    there = {"base_model.model.q.lora_A.weight": torch.zeros(2, 2), "base_model.model.q.lora_B.weight": torch.eye(2)}
    back = {"base_model.model.q.lora_A.weight": -2 * torch.eye(2), "base_model.model.q.lora_B.weight": torch.eye(2)}
    with Round(version, [there, back], lora=LoraSpec(r=2)) as small:
        assert float(product(trained_on(version, back, 2), "base_model.model.q.lora_A.weight").sum()) == -2
        fedavg = small.run("fedavg")
        exact = small.run("lora_exact")
    assert fedavg.metrics == {"lora_error": 0.0, "lora_error.q": 0.0}  # the mean of A is zero as well
    assert exact.metrics == {"lora_error": 0.0, "lora_error.q": 0.0}
    back["base_model.model.q.lora_A.weight"] = torch.tensor([[-2.0, 1.0], [0.0, -2.0]])
    there["base_model.model.q.lora_A.weight"] = torch.tensor([[0.0, -1.0], [0.0, 0.0]])
    back["base_model.model.q.lora_B.weight"] = torch.eye(2) / 2
    with Round(version, [there, back], lora=LoraSpec(r=2)) as small:
        assert small.run("fedavg").metrics["lora_error"] > 0


@pytest.mark.parametrize("rule", ["ffa", "fedavg", "fedyogi", "geometric_median", "lora_stack"])
def test_arrival_in_another_order_comes_to_the_same_bits_under_every_kind_of_rule(rule: str) -> None:
    with small_round(5, r=8, ranks=[8, 4, 2, 8, 1], rule=rule, counts=[1] * 5, head=True) as small:
        seen = set()
        for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
            done = small.run(rule, [small.contributions[place] for place in order], seed=4)
            metrics = tuple(done.metrics.items())
            seen.add((to_bytes(done.weights), to_bytes(done.state), tuple(done.diagnoses), metrics))
    assert len(seen) == 1
