"""Rules on files and Gram matrices against naive ones on whole vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from federation.aggregation.files import FileUpdates
from federation.aggregation.gram import gram, squared_distances, squared_distances_to
from federation.layout import read_layout
from tests.federation.aggregation import naive
from tests.federation.aggregation.small_round import Round, direction, draw, row_of

OPTIONS: dict[str, dict[str, Any]] = {
    "geometric_median": {"iterations": 1000, "smoothing": 1e-12},
    "centered_clipping": {"tau": 1.3, "iterations": 5},
    "norm_clipping": {"max_norm": 1.1},
}
EACH_RULE = pytest.mark.parametrize("rule", naive.NAIVE)


def with_attackers(seed: int, n: int, f: int, d: int = 12) -> np.ndarray:
    rows = draw(seed, n, d)
    rows[np.random.default_rng(seed + 1).permutation(n)[:f]] *= -5
    return rows


@EACH_RULE
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("own_options", [False, True])
def test_a_rule_agrees_with_its_paper(rule: str, seed: int, own_options: bool) -> None:
    rows = with_attackers(seed, 12, 2)
    options = OPTIONS.get(rule, {}) if own_options else {key: 1000 for key in ("iterations",) if rule[0] == "g"}
    expected = naive.NAIVE[rule](rows, 2, **options)
    assert direction(rule, rows, options={"f": 2} | options) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@EACH_RULE
@pytest.mark.parametrize("seed", range(4))
def test_a_rule_agrees_with_its_paper_after_nearest_neighbour_mixing(rule: str, seed: int) -> None:
    rows = with_attackers(seed, 12, 2)
    options = OPTIONS.get(rule, {})
    expected = naive.NAIVE[rule](naive.nearest_neighbour_means(rows, 2), 2, **options)
    found = direction(rule, rows, mixing="nnm", options={"f": 2} | options)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@EACH_RULE
@pytest.mark.parametrize("seed", range(4))
def test_a_rule_agrees_with_its_paper_after_bucketing(rule: str, seed: int) -> None:
    rows = with_attackers(seed, 23, 1)
    options = OPTIONS.get(rule, {})
    expected = naive.NAIVE[rule](naive.bucket_means(rows, 3, seed), 1, **options)
    found = direction(rule, rows, mixing="bucketing", bucket_size=3, seed=seed, options={"f": 1} | options)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@EACH_RULE
@pytest.mark.parametrize(
    ("dtype", "close"), [(torch.float64, 1e-9), (torch.float32, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)]
)
def test_a_rule_is_as_precise_as_the_models_dtype(rule: str, dtype: torch.dtype, close: float) -> None:
    rows = torch.from_numpy(with_attackers(1, 12, 2)).to(dtype).double().numpy()
    options = {"f": 2} | OPTIONS.get(rule, {})
    expected = naive.NAIVE[rule](rows, **options)
    with Round(rows, dtype=dtype) as small:
        weights = small.run(rule, options=options).weights
    assert all(tensor.dtype is dtype for tensor in weights.values())
    assert weights["c.empty"].shape == (0, 3)
    assert row_of(weights) == pytest.approx(expected, rel=close, abs=close)


@pytest.mark.parametrize("rule", ["krum", "median"])
@pytest.mark.parametrize("mixing", ["none", "nnm", "bucketing"])
def test_diagnoses_are_those_of_the_updates_as_they_came(rule: str, mixing: str) -> None:
    rows = with_attackers(3, 11, 2)
    with Round(rows) as small:
        done = small.run(rule, mixing=mixing, options={"f": 1})
    answer = row_of(done.weights)
    for row, each in zip(rows, done.diagnoses, strict=True):
        assert each.norm == pytest.approx(np.linalg.norm(row))
        assert each.cosine == pytest.approx(row @ answer / np.linalg.norm(row) / np.linalg.norm(answer))
    if rule == "krum":
        weights = np.array([each.weight for each in done.diagnoses])
        assert weights @ rows == pytest.approx(answer)
    else:
        assert all(each.weight is None for each in done.diagnoses)


@pytest.mark.parametrize("std", [1e-2, 1e-3, 1e-4, 1e-5])
def test_distances_of_small_deltas_keep_their_digits(std: float) -> None:
    # Taken from float32 weights of std 0.03 by the same identity, the last of these would be noise.
    rows = torch.from_numpy(std * np.random.default_rng(0).normal(size=(10, 40_000))).float()
    with Round(rows.numpy(), dtype=torch.float32) as small:
        paths = [each.path for each in small.contributions]
        found = squared_distances(gram(FileUpdates(paths, read_layout(small.base))))
        scores = [each.score for each in small.run("krum", options={"f": 2}).diagnoses]
    direct = np.array([[float(((a - b).double() ** 2).sum()) for b in rows.double()] for a in rows.double()])
    assert found == pytest.approx(direct, rel=1e-9, abs=0)
    assert scores == pytest.approx(naive.krum_scores(rows.double().numpy(), 2), rel=1e-9)


def test_distances_to_a_weighted_sum_are_those_to_the_vector() -> None:
    rows, v = draw(0, 7), np.random.default_rng(1).normal(size=7)
    expected = [naive.gap(row, v @ rows) ** 2 for row in rows]
    assert squared_distances_to(rows @ rows.T, v) == pytest.approx(expected)


def test_rounding_makes_no_squared_distance_negative() -> None:
    off = -1 + 4e-15
    distances = squared_distances(np.array([[-1.0, off, 0.0], [off, -1.0, 0.0], [0.0, 0.0, 4.0]]))
    assert distances.min() == 0.0
    assert distances[0, 2] == 4.0


def test_blocks_hold_each_coordinate_once() -> None:
    rows = draw(0, 5, 1000)
    with Round(rows, dtype=torch.float32) as small:
        updates = FileUpdates([each.path for each in small.contributions], read_layout(small.base))
        blocks = [(each.name, each.start, each.values.copy()) for each in updates.blocks(np.float32, columns=256)]
        whole = row_of(small.run("median").weights)
    assert [(name, start) for name, start, _ in blocks] == [
        ("a.scalar", 0), ("b.rest", 0), ("b.rest", 256), ("b.rest", 512), ("b.rest", 768)
    ]  # fmt: skip
    assert np.hstack([values for _, _, values in blocks]).tolist() == rows.astype(np.float32).tolist()
    assert whole == pytest.approx(np.median(rows, axis=0), rel=1e-6)
