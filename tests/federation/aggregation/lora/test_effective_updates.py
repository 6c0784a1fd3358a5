"""Norms, distances and cosines of adapters are those of the dense changes that they make."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from federation.aggregation.by_distance import by_distance
from federation.aggregation.compatibility import fewest_updates
from federation.aggregation.lora.acceptance import check_adapter_update
from federation.aggregation.lora.effective import distance, effective_gram
from federation.aggregation.lora.layers import AdapterUpdates
from federation.aggregation.methods import METHODS, Kind
from federation.errors import ErrorCode, Refused
from federation.model_spec import LoraSpec
from federation.spec import AggregationSpec
from federation.weights import pack_update
from tests.federation.aggregation.lora.small_adapters import (
    Round,
    dense,
    draw_version,
    mean_of_products,
    product,
    small_round,
    truncated,
)

DISTANCE = [name for name, method in METHODS.items() if method.kind is Kind.DISTANCE]


def gram_of(small: Round, rule: str = "lora_exact") -> np.ndarray:
    paths = [each.path for each in small.contributions]
    return effective_gram(AdapterUpdates(small.base, paths, rule=rule, r=small.lora.r), small.lora.scaling)


@pytest.mark.parametrize("ranks", [[4, 4, 4], [8, 4, 8, 1], [8]], ids=str)
@pytest.mark.parametrize("size", [1e-4, 0.2, 1e3])
@pytest.mark.parametrize("rule", ["lora_exact", "ffa"])
def test_the_gram_matrix_is_that_of_the_dense_changes(ranks: Sequence[int], size: float, rule: str) -> None:
    with small_round(ranks=ranks, r=8, head=True, size=size, rule=rule) as small:
        g, rows = gram_of(small, rule), small.effective
    lengths = np.linalg.norm(rows, axis=1)
    # the dense reference subtracts B A from what is near it, and so has lost digits of a small change
    lost = 1e-12 * max(1.0, 1e-3 / size)
    assert np.abs(g - rows @ rows.T).max() <= lost * np.outer(lengths, lengths).max()
    assert np.abs(np.sqrt(np.diag(g)) / lengths - 1).max() <= lost


def test_factors_that_make_the_same_change_are_as_long_and_at_no_distance() -> None:
    version = draw_version(3, 4, b=0.0)
    one = {n: 0.1 * torch.randn(t.shape, generator=torch.Generator().manual_seed(len(n))) for n, t in version.items()}
    other = {}
    for name, tensor in one.items():  # (A + ΔA) / 4 and 4 ΔB, B being zero
        other[name] = (version[name] + tensor) / 4 - version[name] if "lora_A" in name else 4 * tensor
    with Round(version, [one, other], lora=LoraSpec(r=4)) as small:
        g = gram_of(small)
    assert g[0, 0] + g[1, 1] - 2 * g[0, 1] == pytest.approx(0.0, abs=1e-9 * g[0, 0])
    assert g[0, 0] > 0.01


@pytest.mark.parametrize("mixing", ["none", "nnm", "bucketing"])
@pytest.mark.parametrize("rule", DISTANCE)
def test_distance_rules_weigh_as_on_the_dense_changes_and_then_take_the_exact_mean(rule: str, mixing: str) -> None:
    spec = AggregationSpec.model_validate({"rule": rule, "mixing": mixing})
    n = fewest_updates(spec, 1) + 1
    with small_round(ranks=[8 if i % 2 else 4 for i in range(n)], r=8, seed=5) as small:
        small.contributions[2].path.write_bytes(pack_update({k: -20 * t for k, t in small.updates[2].items()}))
        small.updates[2] = {k: -20 * t for k, t in small.updates[2].items()}
        done, rows = small.run(rule, mixing=mixing, seed=3), small.effective
        expected = by_distance(rows @ rows.T, spec, 3, np.full(n, 1 / n))
        weights = [each.weight for each in done.diagnoses]
        assert weights == pytest.approx(expected.weights.tolist(), abs=1e-7)
        means = mean_of_products(small, weights)
    for name, mean in means.items():
        best = truncated(mean, 8)
        assert float((product(done.weights, name) - best).norm()) < 1e-5 * float(best.norm())
    aim = expected.weights @ rows
    for each, row in zip(done.diagnoses, rows, strict=True):
        assert each.norm == pytest.approx(float(np.linalg.norm(row)), rel=1e-9)
        assert each.cosine == pytest.approx(float(row @ aim / np.linalg.norm(row) / np.linalg.norm(aim)), abs=1e-6)
    if mixing == "none":
        assert [each.score for each in done.diagnoses] == pytest.approx((expected.scores).tolist(), rel=1e-6)
        assert [each.reason[:8] for each in done.diagnoses] == [expected.reasons.get(i, "")[:8] for i in range(n)]
        assert np.argmax([each.score for each in done.diagnoses]) == 2, "the one that was made the longest"


def test_an_excluded_update_of_absurd_size_leaves_no_trace() -> None:
    with small_round(6, seed=1) as small:
        without = small.run("krum", options={"f": 1})
        chosen = next(i for i, each in enumerate(without.diagnoses) if each.weight)
        other = 0 if chosen else 1
        small.contributions[other].path.write_bytes(
            pack_update({k: torch.full_like(t, 1e30) for k, t in small.updates[other].items()})
        )
        done = small.run("krum", options={"f": 1})
        [kept] = [i for i, each in enumerate(done.diagnoses) if each.weight]
        alone = small.run("lora_exact", [small.contributions[kept]])
    for name, tensor in alone.weights.items():
        torch.testing.assert_close(done.weights[name], tensor, rtol=1e-6, atol=1e-7)


def test_the_distance_of_versions_is_that_of_what_they_add_whatever_their_ranks() -> None:
    one, other = draw_version(1, 4, head=True), draw_version(2, 9, head=True)
    expected = float(np.linalg.norm(dense(one, 2.5) - dense(other, 2.5)))
    assert distance(one, other, 2.5) == pytest.approx(expected, rel=1e-12)
    assert distance(one, one, 2.5) < 1e-12


def test_the_norm_of_an_accepted_update_is_that_of_its_change() -> None:
    with small_round(2, ranks=[3, 8], r=8, head=True) as small:
        norms = [
            check_adapter_update(each.path, small.base, small.lora, rule="lora_exact") for each in small.contributions
        ]
        assert norms == pytest.approx(np.linalg.norm(small.effective, axis=1).tolist(), rel=1e-12)
        path = small.contributions[0].path
        bound = norms[0] * (1 + 1e-9)
        assert check_adapter_update(path, small.base, small.lora, rule="lora_exact", max_norm=bound) == norms[0]
        with pytest.raises(Refused, match=r"exceeds the task's bound 0\.5") as caught:
            check_adapter_update(path, small.base, small.lora, rule="lora_exact", max_norm=0.5)
    assert caught.value.code is ErrorCode.BAD_UPDATE
    assert "fewer steps" in caught.value.mend


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_is_refused_with_its_tensor_and_again_before_it_counts(value: float) -> None:
    with small_round(2, head=True) as small:
        name = next(name for name in small.version if "lora_B" in name)
        small.updates[1][name][0, 0] = value
        path = small.contributions[1].path
        path.write_bytes(pack_update(small.updates[1]))
        with pytest.raises(Refused, match=r"lora_B.*NaN or infinite") as caught:
            check_adapter_update(path, small.base, small.lora, rule="lora_exact")
        assert caught.value.code is ErrorCode.BAD_UPDATE
        with pytest.raises(Refused, match="001 holds NaN"):
            small.run("lora_exact")
