from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federation.aggregation import fednova
from federation.aggregation.fednova import way
from federation.errors import ErrorCode, Refused
from federation.spec import TrainingSpec
from tests.federation.aggregation.small_round import Round, direction, draw


def test_plain_sgd_goes_one_way_a_step() -> None:
    assert [way(steps) for steps in (1, 2, 1000)] == [1.0, 2.0, 1000.0]


def test_momentum_carries_a_step_on() -> None:
    # ρ = 1/2: the k-th step from the end has carried 1 + 1/2 + … k terms: 1, 1.5, 1.75.
    assert [way(steps, momentum=0.5) for steps in (1, 2, 3)] == [1.0, 2.5, 4.25]


def test_a_proximal_term_pulls_old_steps_back() -> None:
    # ημ = 1/2: 1, 1 + 1/2, 1 + 1/2 + 1/4.
    assert [way(steps, proximal=0.5) for steps in (1, 2, 3)] == pytest.approx([1.0, 1.5, 1.75])


@pytest.mark.parametrize("momentum", [0.1, 0.9, 0.999, 0.999999, 1 - 1e-9, 1 - 2**-53])
@pytest.mark.parametrize("steps", [1, 2, 7, 400])
def test_the_way_with_momentum_is_the_sum_of_its_steps(momentum: float, steps: int) -> None:
    exact, carried = 0.0, 0.0
    for _ in range(steps):
        carried = momentum * carried + 1.0
        exact += carried
    close = 1e-9 if momentum < 0.99999 else 1e-2 if momentum < 1 - 1e-8 else None
    found = way(steps, momentum=momentum)
    assert steps <= found <= steps * (steps + 1) / 2
    assert close is None or found == pytest.approx(exact, rel=close)


@pytest.mark.parametrize("proximal", [1e-300, 1e-16, 1e-9, 1e-3, 0.3, 0.999999])
@pytest.mark.parametrize("steps", [1, 2, 7, 400])
def test_the_way_with_a_proximal_term_is_the_sum_of_its_steps(proximal: float, steps: int) -> None:
    assert way(steps, proximal=proximal) == pytest.approx(sum((1 - proximal) ** k for k in range(steps)), rel=1e-12)


@pytest.mark.parametrize(
    ("steps", "options"),
    [(0, {}), (-1, {}), (1, {"momentum": 1.0}), (1, {"proximal": 1.0}), (1, {"momentum": 0.5, "proximal": 0.5})],
)
def test_what_has_no_formula_is_an_error(steps: int, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no way"):
        way(steps, **options)


def test_weights_divide_by_the_way_and_stretch_to_the_usual_one() -> None:
    # p = 1/2, 1/2 and a = 1, 3: τ_eff = 2, weights 2 · 1/2 / 1 and 2 · 1/2 / 3.
    assert fednova.weights([0.5, 0.5], [1.0, 3.0]) == pytest.approx([1.0, 1 / 3])
    assert fednova.weights([0.25, 0.75], [5.0, 5.0]) == pytest.approx([0.25, 0.75])


def test_fednova_undoes_unequal_numbers_of_steps() -> None:
    # Both nodes step by +1 or by -1 a time; one takes 3 times as many. FedAvg drifts, FedNova does not.
    rows, counts, steps = [[32.0, 0], [-96.0, 0]], [1024, 3072], [32, 96]
    assert direction("fedavg", rows, counts=counts, weighting="uniform")[0] == -32.0
    training = TrainingSpec(batch_size=32)
    found = direction("fednova", rows, counts=counts, steps=steps, weighting="uniform", training=training)
    assert found[0] == pytest.approx(0.0)


def test_equal_steps_make_it_fedavg() -> None:
    rows, counts = draw(0, 6), [10, 20, 30, 40, 50, 60]
    training = TrainingSpec(batch_size=1, momentum=0.9)
    found = direction("fednova", rows, counts=counts, steps=[10] * 6, training=training)
    assert found == pytest.approx(direction("fedavg", rows, counts=counts))


def test_momentum_and_proximal_term_are_those_of_the_task() -> None:
    rows, counts, steps = [[1.0, 0], [0, 1.0]], [2, 2], [1, 2]
    momentum = TrainingSpec(batch_size=1, momentum=0.5)  # ways 1 and 2.5: τ_eff 1.75
    found = direction("fednova", rows, counts=counts, steps=steps, training=momentum)
    assert found == pytest.approx([0.875, 0.35])
    plain = TrainingSpec(batch_size=1, learning_rate=0.5)  # with μ = 1 ways 1 and 1.5: τ_eff 1.25
    found = direction("fednova", rows, counts=counts, steps=steps, training=plain, options={"mu": 1.0})
    assert found == pytest.approx([0.625, 0.625 / 1.5])


def test_a_node_that_claims_a_billion_steps_is_believed_what_its_examples_take() -> None:
    rows, counts, training = draw(0, 10), [100] * 10, TrainingSpec(batch_size=10, epochs=2)
    honest = direction("fednova", rows, counts=counts, steps=[20] * 10, training=training)
    for weighting in ("examples", "uniform", "capped"):
        lying = direction(
            "fednova", rows, counts=counts, steps=[20] * 9 + [10**9], training=training, weighting=weighting
        )
        assert lying == pytest.approx(honest)
    short = TrainingSpec(batch_size=10, epochs=2, max_steps=20)
    assert direction("fednova", rows, counts=counts, steps=[20] * 9 + [10**9], training=short) == pytest.approx(honest)


def test_with_capped_weights_lying_counts_and_steps_stretch_nothing() -> None:
    rows, training = draw(0, 9), TrainingSpec(batch_size=10)
    honest = direction("fednova", rows, counts=[100] * 9, steps=[10] * 9, training=training, weighting="capped")
    lying = {"counts": [100] * 8 + [10**6], "steps": [10] * 8 + [10**5], "training": training}
    assert direction("fednova", rows, weighting="capped", **lying) == pytest.approx(honest)
    assert np.linalg.norm(direction("fednova", rows, **lying)) > 3 * np.linalg.norm(honest)


@pytest.mark.parametrize("steps", [0, -3, 1.5, True, None])
def test_a_number_of_steps_that_is_none_is_refused(steps: Any) -> None:
    with Round([[1.0, 0]], steps=[steps]) as small, pytest.raises(Refused, match="FedNova needs") as caught:
        small.run("fednova")
    assert caught.value.code is ErrorCode.BAD_COUNT
