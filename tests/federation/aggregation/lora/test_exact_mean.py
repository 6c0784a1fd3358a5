"""lora_exact against dense matrices: what it makes of a round is the best that rank r allows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from federation.aggregation.lora import effective, layers
from federation.aggregation.lora.products import leading, product_norms
from federation.errors import ErrorCode, Refused
from federation.model_spec import LoraSpec
from federation.weights import to_bytes
from tests.federation.aggregation.lora.small_adapters import (
    LAYERS,
    Round,
    draw_update,
    draw_version,
    gap,
    mean_of_products,
    product,
    small_round,
    truncated,
)

ROUNDING = 3e-7
"""What float32 factors may lose of their product."""


@pytest.mark.parametrize(
    ("ranks", "counts"),
    [
        ([4, 4, 4, 4], [10, 10, 10, 10]),
        ([8, 8, 8], [1, 2, 3]),
        ([4, 8, 4, 8], [5, 1, 1, 9]),
        ([1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]),
        ([8], [3]),
        ([2], [3]),
    ],
    ids=str,
)
@pytest.mark.parametrize("b", [0.0, 0.3])
def test_it_is_the_dense_mean_cut_to_the_rank_by_a_dense_svd(
    ranks: Sequence[int], counts: Sequence[int], b: float
) -> None:
    weights = [count / sum(counts) for count in counts]
    with small_round(ranks=ranks, r=8, counts=counts, b=b) as small:
        done = small.run("lora_exact")
        means = mean_of_products(small, weights)
    lost = held = 0.0
    for name, mean in means.items():
        best, found = truncated(mean, 8), product(done.weights, name)
        assert gap(found, best) < ROUNDING
        error, least = float((found - mean).norm()), float((best - mean).norm())
        assert error <= least + ROUNDING * float(mean.norm())
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        assert done.metrics[f"lora_error.{module}"] == pytest.approx(least / float(mean.norm()), abs=1e-12)
        lost, held = lost + least**2, held + float(mean.norm()) ** 2
    assert done.metrics["lora_error"] == pytest.approx(math.sqrt(lost / held), abs=1e-12)


def test_a_round_whose_mean_has_the_rank_loses_nothing() -> None:
    with small_round(1, ranks=[4], r=8, b=0.0) as small:
        done = small.run("lora_exact")
        for name, mean in mean_of_products(small, [1.0]).items():
            assert gap(product(done.weights, name), mean) < ROUNDING
        assert done.metrics["lora_error"] < 1e-14


def test_directions_come_by_falling_size_with_rows_of_one_length_and_the_present_ones() -> None:
    with small_round(3, ranks=[8, 4, 2], r=8) as small:
        done = small.run("lora_exact")
    for name in (name for name in small.version if "lora_A" in name):
        a, b = done.weights[name].double(), done.weights[name.replace("_A", "_B")].double()
        length = float(small.version[name].double().square().sum(1).mean().sqrt())
        held = min(8, *LAYERS[name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")])
        torch.testing.assert_close(
            a @ a.T, length**2 * torch.diag((torch.arange(8) < held).double()), atol=1e-6, rtol=0
        )
        sizes = b.norm(dim=0)
        assert (sizes[:-1] >= sizes[1:] * (1 - 1e-6)).all()
        assert (a[:held].gather(1, a[:held].abs().argmax(1, keepdim=True)) > 0).all()


def test_where_nobody_left_ranks_out_a_is_turned_as_near_to_the_nodes_mean_as_the_product_allows() -> None:
    counts = [3, 1, 2]
    with small_round(3, ranks=[8, 8, 8], r=8, counts=counts) as small:
        done = small.run("lora_exact")
        mean_a = small.run("fedavg").weights
    for name in (name for name in small.version if "lora_A" in name):
        a, b = done.weights[name].double(), done.weights[name.replace("_A", "_B")].double()
        if min(a.shape[1], b.shape[0]) < 8:
            continue  # a layer that has not so many directions
        length = float(small.version[name].double().square().sum(1).mean().sqrt())
        torch.testing.assert_close(a @ a.T, length**2 * torch.eye(8).double(), atol=1e-5, rtol=0)
        wanted, near = mean_a[name].double(), float((a - mean_a[name].double()).norm())
        generator = torch.Generator().manual_seed(0)
        for _ in range(50):
            turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))
            assert float((turn @ a - wanted).norm()) >= near - 1e-6
        slight = torch.matrix_exp(0.01 * (turn - turn.T))
        assert float((slight @ a - wanted).norm()) > near


def test_a_direction_that_the_mean_does_not_hold_has_a_row_to_learn_with_yet() -> None:
    version = draw_version(0, 6, b=0.0)
    update = draw_update(0, version, 6, 2)
    with Round(version, [update], lora=LoraSpec(r=6)) as small:
        done = small.run("lora_exact")
    for name in (name for name in version if "lora_B" in name):
        assert done.weights[name][:, 2:].norm() < 1e-6 * done.weights[name].norm()
        assert (done.weights[name.replace("_B", "_A")].norm(dim=1)[:5] > 0.1).all()


def test_a_round_in_which_nobody_moved_is_no_error_and_no_change() -> None:
    with small_round(3, b=0.0, size=0.0) as still:
        done = still.run("lora_exact")
        assert done.metrics["lora_error"] == 0.0
        assert all(float(product(done.weights, n).norm()) == 0 for n in still.version if "lora_A" in n)
        assert [each.norm for each in done.diagnoses] == [0.0] * 3
    with small_round(3, size=0.0) as still:
        done = still.run("lora_exact")
        for name in (name for name in still.version if "lora_A" in name):
            assert gap(product(done.weights, name), product(still.version, name)) < ROUNDING


def test_what_clipping_takes_from_the_weights_stays_with_the_global_model() -> None:
    with small_round(5, r=8, ranks=[8, 8, 4, 8, 2]) as small:
        done = small.run("norm_clipping", options={"max_norm": 0.5})
        weights = [each.weight or 0.0 for each in done.diagnoses]
        assert 0 < sum(weights) < 0.9
        for name, mean in mean_of_products(small, weights).items():
            assert gap(product(done.weights, name), truncated(mean, 8)) < ROUNDING


def test_the_heads_mean_is_plain() -> None:
    with small_round(3, counts=[1, 2, 5], head=True) as small:
        done = small.run("lora_exact")
        wanted = sum(
            w * own["base_model.model.score.weight"] for w, own in zip((1 / 8, 2 / 8, 5 / 8), small.local, strict=True)
        )
        torch.testing.assert_close(done.weights["base_model.model.score.weight"].double(), wanted, rtol=1e-6, atol=1e-7)


def test_arrival_in_another_order_comes_to_the_same_bits() -> None:
    with small_round(5, r=8, ranks=[8, 4, 2, 8, 1], counts=[5, 4, 3, 2, 1], head=True) as small:
        seen = set()
        for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
            done = small.run("lora_exact", [small.contributions[place] for place in order])
            seen.add((to_bytes(done.weights), tuple(done.diagnoses), tuple(done.metrics.items())))
    assert len(seen) == 1


def test_a_mean_that_leaves_float32_is_refused_with_the_tensors_name() -> None:
    with small_round(2, size=3e37) as small, pytest.raises(Refused, match=r"lora_B\.weight' is not finite") as caught:
        small.run("lora_exact")
    assert caught.value.code is ErrorCode.BAD_UPDATE


def test_layers_that_take_much_memory_are_read_one_at_a_time_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with small_round(4, r=8, ranks=[8, 4, 8, 4]) as small:
        whole = small.run("lora_exact")
        monkeypatch.setattr(layers, "_BUDGET", 1)
        monkeypatch.setattr(layers, "_KEPT", 0)
        monkeypatch.setattr(effective, "_ROWS", 5)
        sizes = []
        read = layers.AdapterUpdates._side_by_side
        monkeypatch.setattr(
            layers.AdapterUpdates, "_side_by_side", lambda self, *a: sizes.append(len(a[1])) or read(self, *a)
        )
        single = small.run("lora_exact")
    assert sizes == [1] * (2 * 2 * len(LAYERS)), "base and updates, twice each"
    for name, tensor in whole.weights.items():
        torch.testing.assert_close(single.weights[name], tensor, rtol=1e-6, atol=1e-7)
    for one, other in zip(single.diagnoses, whole.diagnoses, strict=True):
        assert one.norm == pytest.approx(other.norm, rel=1e-12)


def test_more_than_a_hundred_layers_have_one_error_for_all() -> None:
    many = {f"h.{i}.q": (3, 3) for i in range(101)}
    version = draw_version(0, 2, layers=many)
    with Round(version, [draw_update(i, version, 2, 2) for i in range(2)], lora=LoraSpec(r=2)) as small:
        assert small.run("lora_exact").metrics.keys() == {"lora_error"}


@pytest.mark.parametrize(("out", "k", "inputs"), [(7, 3, 9), (3, 8, 9), (9, 12, 4), (1, 1, 1), (4, 6, 5)])
def test_products_have_their_norm_and_their_singular_vectors(out: int, k: int, inputs: int) -> None:
    dice = torch.Generator().manual_seed(out)
    left = torch.randn(2, out, k, generator=dice, dtype=torch.float64)
    right = torch.randn(2, k, inputs, generator=dice, dtype=torch.float64)
    torch.testing.assert_close(product_norms(left, right), (left @ right).norm(dim=(1, 2)))
    values, rows = leading(left, right)
    s = torch.linalg.svdvals(left @ right)
    torch.testing.assert_close(values[:, : s.shape[1]], s[:, : values.shape[1]])
    torch.testing.assert_close((left @ right) @ rows.mT @ rows, left @ right)
