"""Factors whose product cancels hide nothing from norms, distances, bounds and rules; true sizes are of fractions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from federation.aggregation.compatibility import Mixing, cells, fewest_updates, refusals
from federation.aggregation.lora import effective
from federation.aggregation.lora.acceptance import check_adapter_update
from federation.aggregation.lora.effective import effective_gram
from federation.aggregation.lora.layers import AdapterUpdates
from federation.aggregation.methods import METHODS, Kind
from federation.errors import ErrorCode, Refused
from federation.model_spec import LoraSpec
from federation.spec import AggregationSpec
from tests.federation.aggregation.lora.small_adapters import (
    Round,
    dense,
    draw_update,
    draw_version,
    gap,
    mean_of_products,
    product,
)

ROBUST: list[tuple[str, Mixing]] = [
    (cell.rule, cell.mixing)
    for cell in cells()
    if cell.model == "adapter" and not refusals(cell) and METHODS[cell.rule].robust
]
MEANS = [name for name, method in METHODS.items() if method.kind in (Kind.MEAN, Kind.OPTIMIZER)]
SMALL = {"q": (6, 4), "v": (3, 5)}
LORA = LoraSpec(r=2, alpha=4)


def cancelling(version: Mapping[str, Tensor], c: float, h: float, seed: int = 0) -> dict[str, Tensor]:
    """Two rows of A moved by the same h v, two columns of B at c and -c: all of it goes but c (A₀ - A₁), of rank 1."""
    dice, found = torch.Generator().manual_seed(7000 + seed), {}
    for name, tensor in version.items():
        found[name] = torch.zeros_like(tensor)
        if "lora_A" in name:
            found[name][:2] = h * torch.randn(tensor.shape[1], generator=dice)
        else:
            sides = torch.randn(tensor.shape[0], 1, generator=dice).sign() * torch.tensor([c, -c])
            found[name][:, :2] = sides - tensor[:, :2]
    return found


def exact_gram(small: Round) -> list[list[Fraction]]:
    """<Δ_i, Δ_j> of whole updates without a head, without any rounding."""

    def exactly(tensor: Tensor) -> np.ndarray:
        return np.vectorize(Fraction, otypes=[object])(tensor.double().numpy())

    changes = []
    for update in small.updates:
        parts = []
        for name in sorted(name for name in small.version if "lora_A" in name):
            other = name.replace("lora_A", "lora_B")
            a, b = exactly(small.version[name]), exactly(small.version[other])
            parts.append(((b + exactly(update[other])) @ (a + exactly(update[name])) - b @ a).ravel())
        changes.append(Fraction(small.lora.scaling) * np.concatenate(parts))
    return [[one @ other for other in changes] for one in changes]


def gram_of(small: Round) -> np.ndarray:
    paths = [each.path for each in small.contributions]
    return effective_gram(AdapterUpdates(small.base, paths, rule="lora_exact", r=small.lora.r), small.lora.scaling)


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(
    seed=st.integers(0, 10**6),
    c=st.floats(-2, 10).map(lambda power: 10**power),
    h=st.floats(-2, 12).map(lambda power: 10**power),
    b=st.sampled_from([0.0, 0.3]),
)
def test_inner_products_are_the_true_ones_up_to_the_rounding_of_products(
    seed: int, c: float, h: float, b: float
) -> None:
    version = draw_version(seed, 2, layers=SMALL, b=b)
    updates = [cancelling(version, c, h, seed), draw_update(seed, version, 2, 2), cancelling(version, c, 2 * h, seed)]
    with Round(version, updates, lora=LORA) as small:
        found, true = gram_of(small), exact_gram(small)
    lost = [1e-14 * (1 + c) * (1 + h), 1e-14, 2e-14 * (1 + c) * (1 + h)]  # of |Δ_i|, not of its square
    lengths = [math.sqrt(true[i][i]) for i in range(3)]
    for i in range(3):
        assert math.sqrt(max(found[i, i], 0.0)) == pytest.approx(lengths[i], rel=1e-9, abs=20 * lost[i])
        for j in range(3):
            most = lost[i] * lengths[j] + lost[j] * lengths[i] + lost[i] * lost[j]
            assert abs(found[i, j] - float(true[i][j])) <= 400 * most + 1e-10 * lengths[i] * lengths[j]


@pytest.mark.parametrize(("c", "true"), [(1e4, 1e4), (1e8, 1e8)])
def test_an_update_that_cancels_ten_thousand_times_over_has_its_norm(c: float, true: float) -> None:
    version = draw_version(0, 4, b=0.0)
    with Round(version, [cancelling(version, c, 1e10)], lora=LoraSpec(r=4, alpha=8)) as small:
        norm = math.sqrt(gram_of(small)[0, 0])
        assert norm == pytest.approx(math.sqrt(exact_gram(small)[0][0]), rel=1e-4)
    assert norm > 10 * true


def test_orthonormal_rows_give_ordinary_updates_the_same_inner_products(monkeypatch: pytest.MonkeyPatch) -> None:
    version = draw_version(1, 4, head=True)
    updates = [draw_update(i, version, 4, rank) for i, rank in enumerate((4, 1, 3))]
    with Round(version, updates, lora=LoraSpec(r=4)) as small:
        plain = gram_of(small)
        monkeypatch.setattr(effective, "_CANCELLED", 1e9)
        monkeypatch.setattr(effective, "_ROWS", 5)
        again = gram_of(small)
    np.testing.assert_allclose(again, plain, rtol=1e-12, atol=1e-12 * plain.max())
    assert (again != plain).any(), "they were taken in another way"


@pytest.mark.parametrize("rule", ["lora_exact", "lora_stack", "fedavg", "krum"])
@pytest.mark.parametrize(("c", "h"), [(1e4, 1e10), (1e8, 1e10), (1.0, 1e30), (1e5, 1.0)])
@pytest.mark.parametrize("bound", [None, 1.0, 1e30])
def test_factors_out_of_all_proportion_are_refused_whatever_the_bound(
    rule: str, c: float, h: float, bound: float | None
) -> None:
    version = draw_version(0, 4, b=0.0)
    with (
        Round(version, [cancelling(version, c, h)], lora=LoraSpec(r=4)) as small,
        pytest.raises(Refused, match=r"lora_[AB]\.weight' has the L2 norm .*whatever the bound") as caught,
    ):
        check_adapter_update(small.contributions[0].path, small.base, small.lora, rule=rule, max_norm=bound)
    assert caught.value.code is ErrorCode.BAD_UPDATE
    assert "lower the learning rate" in caught.value.mend


@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
@pytest.mark.parametrize("b", [0.0, 0.3])
def test_a_factor_may_move_a_thousand_times_as_far_as_its_own_norm_and_one(factor: str, b: float) -> None:
    version = draw_version(0, 4, b=b)
    name = f"base_model.model.h.0.query.{factor}.weight"
    most = 1e3 * (1 + float(version[name].norm()))
    for share in (0.999, 1.001):
        update = {n: torch.zeros_like(tensor) for n, tensor in version.items()}
        update[name][1, 1] = share * most
        with Round(version, [update], lora=LoraSpec(r=4)) as small:
            path = small.contributions[0].path
            if share < 1:
                assert math.isfinite(check_adapter_update(path, small.base, small.lora, rule="lora_exact"))
                continue
            with pytest.raises(Refused, match=rf"{factor}.*has the L2 norm"):
                check_adapter_update(path, small.base, small.lora, rule="lora_exact")


@settings(max_examples=30, derandomize=True, deadline=None, database=None)
@given(seed=st.integers(0, 10**6), c=st.floats(0.01, 300), h=st.floats(0.01, 300), b=st.sampled_from([0.0, 0.3]))
def test_the_bound_is_on_the_true_norm_of_what_is_in_proportion(seed: int, c: float, h: float, b: float) -> None:
    version = draw_version(seed, 2, layers=SMALL, b=b)
    with Round(version, [cancelling(version, c, h, seed)], lora=LORA) as small:
        path, true = small.contributions[0].path, math.sqrt(exact_gram(small)[0][0])
        slack = 1e-9 + 1e-9 * true
        norm = check_adapter_update(path, small.base, small.lora, rule="lora_exact", max_norm=true + slack)
        assert norm == pytest.approx(true, abs=slack)
        with pytest.raises(Refused, match="effective change"):
            check_adapter_update(path, small.base, small.lora, rule="lora_exact", max_norm=true - slack)


@pytest.mark.parametrize(("c", "h"), [(1e4, 1e10), (100.0, 300.0), (1e8, 1e10)])
@pytest.mark.parametrize("b", [0.0, 0.3])
@pytest.mark.parametrize(("rule", "mixing"), ROBUST)
def test_one_that_cancels_among_six_honest_moves_no_rule_further_than_they_do(
    rule: str, mixing: Mixing, b: float, c: float, h: float
) -> None:
    n = max(7, fewest_updates(AggregationSpec.model_validate({"rule": rule, "mixing": mixing}), 1))
    for seed in range(3):
        version = draw_version(seed, 4, b=b)
        updates = [draw_update(50 * seed + i, version, 4, 4) for i in range(n - 1)]
        with Round(version, [cancelling(version, c, h, seed), *updates], lora=LoraSpec(r=4, alpha=8)) as small:
            done, rows = small.run(rule, mixing=mixing, options={"f": 1}, seed=seed), small.effective[1:]
        moved = dense(done.weights, 2.0) - dense(version, 2.0)
        centre = rows.mean(axis=0)
        spread = max(float(np.linalg.norm(row - centre)) for row in rows)
        norm = max(float(np.linalg.norm(row)) for row in rows)
        # what is beyond rank 4 is cut off: never longer than the whole, and of the version's own as much at most
        lost = norm + float(np.linalg.norm(dense(version, 2.0)))
        assert float(np.linalg.norm(moved - centre)) <= lost + (2 * norm if "clipping" in rule else 3 * spread)
        assert (done.diagnoses[0].weight or 0.0) < 1.5 / n


@pytest.mark.parametrize(("rule", "mixing"), ROBUST)
def test_even_factors_that_acceptance_refuses_break_no_rule(rule: str, mixing: Mixing) -> None:
    n = max(7, fewest_updates(AggregationSpec.model_validate({"rule": rule, "mixing": mixing}), 1))
    for seed in range(3):
        version = draw_version(seed, 4, b=0.0)
        updates = [draw_update(50 * seed + i, version, 4, 4) for i in range(n - 1)]
        with Round(version, [cancelling(version, 1e8, 1e30, seed), *updates], lora=LoraSpec(r=4, alpha=8)) as small:
            done = small.run(rule, mixing=mixing, options={"f": 1}, seed=seed)
        assert all(bool(tensor.isfinite().all()) for tensor in done.weights.values())
        assert all(math.isfinite(each.norm) for each in done.diagnoses)


@pytest.mark.parametrize("rule", ["lora_exact", "lora_stack"])
@pytest.mark.parametrize(("c", "h"), [(1.0, 1e3), (300.0, 300.0)])
def test_the_exact_mean_of_factors_that_cancel_is_the_mean_of_their_products(rule: str, c: float, h: float) -> None:
    version = draw_version(2, 4, b=0.0)
    with Round(version, [cancelling(version, c, h)], lora=LoraSpec(r=4)) as small:
        done = small.run(rule)
        for name, mean in mean_of_products(small, [1.0]).items():
            assert gap(product(done.weights, name), mean) < 1e-6


@pytest.mark.parametrize("rule", MEANS)
def test_a_bound_holds_for_the_factors_themselves_where_these_are_averaged(rule: str) -> None:
    version = draw_version(0, 4, b=0.0, head=True)
    update = {name: torch.zeros_like(tensor) for name, tensor in version.items()}
    for name in (name for name in version if "lora_A" in name):  # B stays zero: no effect whatsoever
        update[name][0, 0] = 500.0
    with Round(version, [update], lora=LoraSpec(r=4)) as small:
        path, factors = small.contributions[0].path, 500 * math.sqrt(5)
        assert check_adapter_update(path, small.base, small.lora, rule="lora_exact", max_norm=1.0) == 0.0
        moved = small.run("lora_exact").weights
        assert not dense(moved, 1.0)[:-21].any(), "where products are averaged it does nothing"
        assert check_adapter_update(path, small.base, small.lora, rule=rule, max_norm=factors * 1.001) == 0.0
        with pytest.raises(Refused, match=rf"tensors, which {rule} averages, 1118.*exceeds the task's bound 1\.") as it:
            check_adapter_update(path, small.base, small.lora, rule=rule, max_norm=1.0)
    assert it.value.code is ErrorCode.BAD_UPDATE
