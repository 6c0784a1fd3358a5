"""What holds for every round, drawn at random, always the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.aggregation.compatibility import Cell, Mixing, cells, fewest_updates, refusals
from federation.aggregation.methods import METHODS, Kind
from federation.errors import ErrorCode, Refused
from federation.spec import AggregationSpec
from federation.weights import to_bytes
from tests.federation.aggregation.small_round import Round, Rows, direction, draw, row_of

ALLOWED = [cell for cell in cells() if cell.model == "classifier" and not refusals(cell)]
PAIRS: list[tuple[str, Mixing]] = list(dict.fromkeys((cell.rule, cell.mixing) for cell in ALLOWED))
ROBUST = [(rule, mixing) for rule, mixing in PAIRS if METHODS[rule].robust]
LINEAR = [(rule, mixing) for rule, mixing in PAIRS if METHODS[rule].kind is not Kind.OPTIMIZER]
LOCATIONS = [(rule, mixing) for rule, mixing in ROBUST if "clipping" not in rule]
SEEDS = st.integers(0, 10**6)
few = settings(max_examples=12, derandomize=True, deadline=None, database=None)


def enough(rule: str, mixing: Mixing, f: int) -> int:
    return fewest_updates(AggregationSpec.model_validate({"rule": rule, "mixing": mixing}), f)


@pytest.mark.parametrize("cell", ALLOWED, ids=lambda cell: f"{cell.rule}-{cell.mixing}-{cell.weighting}")
def test_the_order_of_arrival_does_not_change_a_bit(cell: Cell) -> None:
    rows, counts = draw(4, 9), [3, 1, 4, 1, 5, 9, 2, 6, 5]
    with Round(rows, dtype=torch.float32, counts=counts) as small:
        seen = set()
        for shuffle in range(5):
            arrivals = np.random.default_rng(shuffle).permutation(np.array(small.contributions, dtype=object)).tolist()
            done = small.run(cell.rule, arrivals, mixing=cell.mixing, weighting=cell.weighting, seed=7)
            seen.add((to_bytes(done.weights), to_bytes(done.state), tuple(done.diagnoses)))
    assert len(seen) == 1


@pytest.mark.parametrize(("rule", "mixing"), [pair for pair in PAIRS if pair[1] != "bucketing"])
@few
@given(seed=SEEDS, n=st.integers(7, 10))
def test_who_holds_which_update_does_not_matter(rule: str, mixing: str, seed: int, n: int) -> None:
    rows, order = draw(seed, n), np.random.default_rng(seed).permutation(n).tolist()
    with Round(rows, counts=[1 + row for row in range(n)]) as small:
        straight, shuffled = small.run(rule, mixing=mixing), small.run(rule, small.held_by(order), mixing=mixing)
    assert row_of(straight.weights) == pytest.approx(row_of(shuffled.weights), rel=1e-6, abs=1e-6)
    for at, row in enumerate(order):
        one, other = straight.diagnoses[row], shuffled.diagnoses[at]
        assert other.norm == pytest.approx(one.norm)
        assert other.cosine == pytest.approx(one.cosine, abs=1e-6)
        assert (other.weight is None) == (one.weight is None)
        assert other.weight is None or other.weight == pytest.approx(one.weight, abs=1e-6)
        assert other.reason[:8] == one.reason[:8]


@pytest.mark.parametrize(("rule", "mixing"), LINEAR)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
def test_equal_updates_come_out_as_they_went_in(rule: str, mixing: str, scale: float) -> None:
    row = scale * draw(2, 1)[0]
    for n in (7, 12):
        found = direction(rule, [row] * n, mixing=mixing)
        assert found == pytest.approx(row, rel=1e-6, abs=1e-6 * scale)


@pytest.mark.parametrize(("rule", "mixing"), LINEAR)
@few
@given(seed=SEEDS, n=st.integers(7, 11), power=st.integers(-40, 40))
def test_a_round_on_another_scale_has_the_answer_on_that_scale(
    rule: str, mixing: str, seed: int, n: int, power: int
) -> None:
    rows, scale = draw(seed, n), 2.0**power
    plain, scaled = (direction(rule, rows * factor, mixing=mixing, seed=seed) for factor in (1.0, scale))
    assert scaled / scale == pytest.approx(plain, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("rule", "mixing"), LOCATIONS)
@few
@given(seed=SEEDS, n=st.integers(7, 11))
def test_a_round_elsewhere_has_the_answer_there(rule: str, mixing: str, seed: int, n: int) -> None:
    rows, shift = draw(seed, n), 10 * draw(seed + 1, 1)[0]
    here, there = direction(rule, rows, mixing=mixing), direction(rule, rows + shift, mixing=mixing)
    assert there - shift == pytest.approx(here, rel=1e-5, abs=1e-5)


def attacks(honest: Rows, f: int, seed: int, size: float) -> Iterator[Rows]:
    """f updates of norm `size`: together along a direction, against the honest mean, each its own way, cancelling."""
    dice, d = np.random.default_rng(seed), honest.shape[1]
    one = dice.normal(size=d)
    mean = honest.mean(axis=0)
    own = dice.normal(size=(f, d))
    yield np.tile(size * one / np.linalg.norm(one), (f, 1))
    yield np.tile(-size * mean / np.linalg.norm(mean), (f, 1))
    yield size * own / np.linalg.norm(own, axis=1, keepdims=True)
    yield np.array([(-1) ** i * size * one / np.linalg.norm(one) for i in range(f)])


@pytest.mark.parametrize("size", [1e6, 1e30])
@pytest.mark.parametrize(("rule", "mixing"), ROBUST)
@few
@given(seed=SEEDS, f=st.integers(1, 2), more=st.integers(0, 3))
def test_f_attackers_move_the_answer_by_no_more_than_the_honest_differ(
    rule: str, mixing: Mixing, size: float, seed: int, f: int, more: int
) -> None:
    n = enough(rule, mixing, f) + more
    honest = draw(seed, n - f)
    centre = honest.mean(axis=0)
    spread = max(float(np.linalg.norm(row - centre)) for row in honest)
    norm = max(float(np.linalg.norm(row)) for row in honest)
    allowed = 3 * norm if "clipping" in rule else 3 * spread
    for attack in attacks(honest, f, seed, size):
        rows = np.random.default_rng(seed).permutation(np.vstack([honest, attack]))
        moved = direction(rule, rows, mixing=mixing, seed=seed, options={"f": f})
        assert float(np.linalg.norm(moved - centre)) <= allowed


def test_the_mean_is_moved_by_a_single_attacker() -> None:
    rows = np.vstack([draw(0, 9), np.full((1, 6), 1e6)])
    assert np.linalg.norm(direction("fedavg", rows)) > 1e5


@pytest.mark.parametrize(("rule", "mixing"), PAIRS)
def test_every_n_and_f_has_a_finite_answer_or_a_refusal(rule: str, mixing: Mixing) -> None:
    asked: list[int | None] = [None, *range(13)] if METHODS[rule].robust else [None]
    answered = set()
    with Round(draw(0, 12), steps=[1 + row % 3 for row in range(12)]) as small:
        for n in range(1, 13):
            for f in asked:
                options = {} if f is None else {"f": f}
                impossible = n < enough(rule, mixing, f or 0)
                if impossible:
                    with pytest.raises(Refused) as caught:
                        small.run(rule, small.first(n), mixing=mixing, options=options)
                    assert caught.value.code is ErrorCode.QUORUM_MISSED
                    continue
                done = small.run(rule, small.first(n), mixing=mixing, options=options)
                answered.add((n, f))
                assert np.isfinite(row_of(done.weights)).all()
                assert len(done.diagnoses) == n
                assert all(math.isfinite(each.norm) and -1.001 < each.cosine < 1.001 for each in done.diagnoses)
    assert {(12, f) for f in asked if f is None or enough(rule, mixing, f) <= 12} <= answered


@pytest.mark.parametrize("mixing", ["none", "nnm", "bucketing"])
def test_every_share_to_trim_has_a_finite_answer(mixing: str) -> None:
    with Round(draw(0, 12)) as small:
        for n in range(1, 13):
            for beta in (0.0, 0.01, 0.1, 0.25, 1 / 3, 0.4, 0.49, 0.4999999999999999):
                done = small.run("trimmed_mean", small.first(n), mixing=mixing, options={"beta": beta})
                assert np.isfinite(row_of(done.weights)).all()
