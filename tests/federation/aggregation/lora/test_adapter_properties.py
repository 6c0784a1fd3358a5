"""What holds for every round of adapters, drawn at random, always the same ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.aggregation.compatibility import Mixing, cells, fewest_updates, refusals
from federation.aggregation.methods import METHODS
from federation.model_spec import LoraSpec
from federation.spec import AggregationSpec
from federation.weights import pack_update, to_bytes
from tests.federation.aggregation.lora.small_adapters import (
    Round,
    dense,
    draw_update,
    draw_version,
    mean_of_products,
    product,
    truncated,
)

PAIRS: list[tuple[str, Mixing]] = list(
    dict.fromkeys((cell.rule, cell.mixing) for cell in cells() if cell.model == "adapter" and not refusals(cell))
)
ROBUST = [(rule, mixing) for rule, mixing in PAIRS if METHODS[rule].robust]
SEEDS = st.integers(0, 10**6)
SHAPES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3)
many = settings(max_examples=20, derandomize=True, deadline=None, database=None)
few = settings(max_examples=4, derandomize=True, deadline=None, database=None)


def drawn(
    seed: int, r: int, ranks: list[int], shapes: list[tuple[int, int]], *, rule: str = "lora_exact", b: float = 0.3
) -> Round:
    """A round over layers of these shapes, inputs and outputs, with a head."""
    layers = {f"h.{place}": shape for place, shape in enumerate(shapes)}
    version = draw_version(seed, r, layers=layers, b=b, head=True)
    updates = [draw_update(seed + place, version, r, rank, rule=rule) for place, rank in enumerate(ranks)]
    return Round(version, updates, lora=LoraSpec(r=r, alpha=3), counts=[1 + place for place in range(len(ranks))])


def ranked(seed: int, n: int, r: int) -> list[int]:
    return [int(rank) for rank in np.random.default_rng(seed).integers(1, r + 1, n)]


@many
@given(seed=SEEDS, n=st.integers(1, 6), r=st.integers(1, 6), shapes=SHAPES)
def test_the_exact_mean_is_as_near_to_the_dense_one_as_the_rank_allows(
    seed: int, n: int, r: int, shapes: list[tuple[int, int]]
) -> None:
    with drawn(seed, r, ranked(seed, n, r), shapes) as small:
        done = small.run("lora_exact")
        means = mean_of_products(small, [each.weight or 0.0 for each in done.diagnoses])
    for name, mean in means.items():
        least = float((truncated(mean, r) - mean).norm())
        found = float((product(done.weights, name) - mean).norm())
        assert found <= least + 1e-6 * float(mean.norm())


@many
@given(seed=SEEDS, n=st.integers(1, 5), r=st.integers(1, 4), shapes=SHAPES)
def test_a_stack_is_the_dense_mean_within_the_layers_own_rank(
    seed: int, n: int, r: int, shapes: list[tuple[int, int]]
) -> None:
    with drawn(seed, r, ranked(seed, n, r), shapes, b=0.0) as small:
        done = small.run("lora_stack", seed=seed)
        means = mean_of_products(small, [each.weight or 0.0 for each in done.diagnoses])
    for name, mean in means.items():
        assert float((product(done.weights, name) - mean).norm()) <= 1e-6 * float(mean.norm())
        assert done.weights[name].shape[0] - r <= min(*mean.shape, sum(ranked(seed, n, r)))


@pytest.mark.parametrize(("rule", "mixing"), [pair for pair in PAIRS if pair[1] != "bucketing"])
@few
@given(seed=SEEDS, n=st.integers(5, 7))
def test_who_holds_which_update_does_not_matter(rule: str, mixing: str, seed: int, n: int) -> None:
    order = np.random.default_rng(seed).permutation(n).tolist()
    with drawn(seed, 3, ranked(seed, n, 3), [(6, 4), (3, 9)], rule=rule, b=0.0) as small:
        straight, shuffled = small.run(rule, mixing=mixing), small.run(rule, small.held_by(order), mixing=mixing)
    one, other = dense(straight.weights, 1.0), dense(shuffled.weights, 1.0)
    assert other == pytest.approx(one, rel=1e-5, abs=1e-5)
    for at, row in enumerate(order):
        assert shuffled.diagnoses[at].norm == pytest.approx(straight.diagnoses[row].norm)
        assert shuffled.diagnoses[at].weight == pytest.approx(straight.diagnoses[row].weight, abs=1e-6)
        assert shuffled.diagnoses[at].cosine == pytest.approx(straight.diagnoses[row].cosine, abs=1e-6)


@pytest.mark.parametrize("rule", ["lora_exact", "krum", "geometric_median", "norm_clipping"])
@few
@given(seed=SEEDS, power=st.integers(-6, 6))
def test_factors_scaled_against_each_other_are_the_same_update(rule: str, seed: int, power: int) -> None:
    scale = 2.0**power  # exact in every float
    with drawn(seed, 2, [2] * 6, [(6, 4)], b=0.0) as small:
        plain = small.run(rule)
        scaled = []
        for own in small.local:
            ways = {name: scale if "_A" in name else 1 / scale if "_B" in name else 1.0 for name in own}
            scaled.append({n: (ways[n] * t - small.version[n].double()).float() for n, t in own.items()})
        with Round(small.version, scaled, lora=small.lora, counts=[1 + i for i in range(6)]) as other:
            rescaled = other.run(rule)
    assert dense(rescaled.weights, 1.0) == pytest.approx(dense(plain.weights, 1.0), rel=1e-4, abs=1e-4)
    for one, again in zip(plain.diagnoses, rescaled.diagnoses, strict=True):
        assert again.norm == pytest.approx(one.norm, rel=1e-4)
        assert again.weight == pytest.approx(one.weight, abs=1e-4)


@pytest.mark.parametrize(("rule", "mixing"), ROBUST)
@few
@given(seed=SEEDS, f=st.integers(1, 2), size=st.sampled_from([1e3, 1e15]))
def test_f_attackers_move_the_answer_by_no_more_than_the_honest_differ(
    rule: str, mixing: Mixing, seed: int, f: int, size: float
) -> None:
    n = fewest_updates(AggregationSpec.model_validate({"rule": rule, "mixing": mixing}), f) + 1
    with drawn(seed, 2, [2] * n, [(6, 4), (3, 5)], b=0.0) as small:
        for place, each in enumerate(small.contributions[:f]):
            small.updates[place] = {name: size * tensor for name, tensor in small.updates[place].items()}
            each.path.write_bytes(pack_update(small.updates[place]))
        done, rows = small.run(rule, mixing=mixing, options={"f": f}, seed=seed), small.effective
    scaling = small.lora.scaling
    moved = dense(done.weights, scaling) - dense(small.version, scaling)
    honest = rows[f:]
    centre = honest.mean(axis=0)
    spread = max(float(np.linalg.norm(row - centre)) for row in honest)
    norm = max(float(np.linalg.norm(row)) for row in honest)
    # what is beyond rank 2 is cut off, which is never longer than the whole
    assert float(np.linalg.norm(moved - centre)) <= (3 * norm if "clipping" in rule else 3 * spread + norm)


@pytest.mark.parametrize(("rule", "mixing"), PAIRS)
@few
@given(seed=SEEDS, n=st.integers(7, 9), r=st.integers(1, 3), shapes=SHAPES)
def test_every_round_has_a_finite_answer_and_a_diagnosis_of_each(
    rule: str, mixing: Mixing, seed: int, n: int, r: int, shapes: list[tuple[int, int]]
) -> None:
    n = max(n, fewest_updates(AggregationSpec.model_validate({"rule": rule, "mixing": mixing}), 1))
    with drawn(seed, r, ranked(seed, n, r), shapes, rule=rule, b=0.0) as small:
        done, again = (small.run(rule, mixing=mixing, seed=seed) for _ in range(2))
    assert to_bytes(done.weights) == to_bytes(again.weights)
    assert all(bool(tensor.isfinite().all()) for tensor in done.weights.values())
    assert all(tensor.dtype == torch.float32 for tensor in done.weights.values())
    assert len(done.diagnoses) == n
    assert all(math.isfinite(each.norm) and -1.001 < each.cosine < 1.001 for each in done.diagnoses)
    assert all(math.isfinite(value) and value >= 0 for value in done.metrics.values())
    assert "lora_error" in done.metrics
