"""Which tensors of an adapter are pairs, which part of them a node trains, and what an update has to hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from federation.adapters import Pair, head_of, pairs_of, rank_of_update, trained, trained_layout
from federation.errors import ErrorCode, Refused
from federation.layout import Layout, TensorInfo, layout_of
from federation.weights import DELTA, prefixed
from tests.federation.aggregation.lora.small_adapters import HEAD, LAYERS, draw_version

A, B = "base_model.model.h.0.query.lora_A.weight", "base_model.model.h.0.query.lora_B.weight"
VERSION = draw_version(0, 6, head=True)
MODEL = layout_of(VERSION)


def update(rank: int = 6, rule: str = "lora_exact", **changes: TensorInfo | None) -> Layout:
    """The layout of an update, some tensors left out (None) or replaced; names are A, B and HEAD."""
    found = prefixed(trained_layout(MODEL, rule=rule, r=6, rank=rank), DELTA)
    for key, info in changes.items():
        name = DELTA + {"A": A, "B": B, "HEAD": HEAD}.get(key, key)
        if info is None:
            del found[name]
        else:
            found[name] = info
    return found


def test_every_layer_is_a_pair_by_the_name_of_its_module() -> None:
    assert pairs_of(MODEL) == [
        Pair.named(module, rank=6, inputs=i, outputs=o) for module, (i, o) in sorted(LAYERS.items())
    ]
    assert {name for pair in pairs_of(MODEL) for name in (pair.a, pair.b)} == MODEL.keys() - {HEAD}
    assert head_of(MODEL) == {HEAD: TensorInfo("F32", (3, 7))}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({A: None}, r"lora_B\.weight' has no '.*lora_A\.weight'"),
        ({B: None}, r"lora_A\.weight' has no '.*lora_B\.weight'"),
        ({A: TensorInfo("F32", (5, 24))}, "make no product"),
        ({A: TensorInfo("F32", (6, 24, 1))}, "make no product"),
        ({A: TensorInfo("F32", (0, 24)), B: TensorInfo("F32", (24, 0))}, "make no product"),
        ({A: TensorInfo("F32", (6, 0))}, "make no product"),
        ({B: TensorInfo("F32", ())}, "make no product"),
        ({B: TensorInfo("BF16", (24, 6))}, "BF16; adapters are F32"),
        ({HEAD: TensorInfo("F64", (3, 7))}, "F64; adapters are F32"),
    ],
)
def test_a_file_that_is_no_adapter_is_refused(changes: dict[str, TensorInfo | None], says: str) -> None:
    layout = {name: info for name, info in (MODEL | changes).items() if info is not None}
    with pytest.raises(Refused, match=says) as caught:
        pairs_of(layout)
    assert caught.value.code is ErrorCode.BAD_UPDATE
    assert "PEFT" in caught.value.mend


def test_a_model_without_factors_is_no_adapter() -> None:
    with pytest.raises(Refused, match="there is no adapter"):
        pairs_of({"w": TensorInfo("F32", (3,))})


@pytest.mark.parametrize("rank", [1, 4, 6, None])
@pytest.mark.parametrize("rule", ["lora_exact", "ffa", "krum"])
def test_a_node_trains_the_leading_directions_and_the_head(rule: str, rank: int | None) -> None:
    cut = trained(VERSION, rule=rule, r=6, rank=rank)
    assert layout_of(cut) == trained_layout(MODEL, rule=rule, r=6, rank=rank)
    assert torch.equal(cut[B], VERSION[B][:, : rank or 6])
    assert torch.equal(cut[HEAD], VERSION[HEAD])
    if rule == "ffa":
        assert not any("lora_A" in name for name in cut)
    else:
        assert torch.equal(cut[A], VERSION[A][: rank or 6])


def test_of_a_stack_a_node_trains_the_first_of_the_trailing_directions() -> None:
    cut = trained(VERSION, rule="lora_stack", r=4, rank=3)
    assert torch.equal(cut[A], VERSION[A][2:5])
    assert torch.equal(cut[B], VERSION[B][:, 2:5])
    ragged = VERSION | {A: torch.randn(9, 24), B: torch.randn(24, 9)}
    assert torch.equal(trained(ragged, rule="lora_stack", r=4)[A], ragged[A][5:])
    assert torch.equal(trained(ragged, rule="lora_stack", r=4)[B], ragged[B][:, 5:])


def test_what_is_cut_out_has_memory_of_its_own() -> None:
    cut = trained(VERSION, rule="lora_exact", r=6, rank=2)
    for name, tensor in cut.items():
        assert tensor.is_contiguous()
        assert tensor.untyped_storage().data_ptr() != VERSION[name].untyped_storage().data_ptr()


@pytest.mark.parametrize("rank", [0, 7, -1])
def test_a_node_cannot_train_a_rank_that_the_task_has_not(rank: int) -> None:
    with pytest.raises(Refused, match=f"rank {rank} of adapters of rank 6"):
        trained(VERSION, rule="lora_exact", r=6, rank=rank)


def test_a_version_below_the_tasks_rank_is_refused() -> None:
    with pytest.raises(Refused, match="has rank 6, the task's is 8"):
        trained(VERSION, rule="lora_exact", r=8)


@pytest.mark.parametrize("rule", ["lora_exact", "lora_stack", "ffa", "krum"])
@pytest.mark.parametrize("rank", [1, 3, 6])
def test_an_update_tells_its_rank(rule: str, rank: int) -> None:
    assert rank_of_update(update(rank, rule), MODEL, rule=rule, r=6) == rank


@pytest.mark.parametrize(
    ("rule", "sent", "says"),
    [
        ("lora_exact", {"B": TensorInfo("F32", (24, 7))}, "has rank 7; this task takes 1..6"),
        ("lora_exact", {"B": TensorInfo("F32", (24, 0))}, "has rank 0; this task takes 1..6"),
        ("lora_exact", {"B": TensorInfo("F32", (24, 3))}, r"is F32 \[6, 24\], where this update of rank 3"),
        ("lora_exact", {"A": TensorInfo("F32", (3, 24))}, r"is F32 \[3, 24\], where this update of rank 6"),
        ("lora_exact", {"B": TensorInfo("F32", (23, 6))}, r"B of this layer is \[24, rank\]"),
        ("lora_exact", {"B": TensorInfo("F32", (24, 6, 1))}, r"B of this layer is \[24, rank\]"),
        ("lora_exact", {"A": TensorInfo("F32", (6, 25))}, r"is F32 \[6, 25\]"),
        ("lora_exact", {"A": TensorInfo("F64", (6, 24))}, r"is F64 \[6, 24\]"),
        ("lora_exact", {"B": TensorInfo("F16", (24, 6))}, r"is F16 \[24, 6\]"),
        ("lora_exact", {"HEAD": TensorInfo("F32", (7, 3))}, r"score\.weight' is F32 \[7, 3\]"),
        ("lora_exact", {"A": None}, r"lora_A\.weight' is missing"),
        ("lora_exact", {"B": None}, r"lora_B\.weight' is missing"),
        ("lora_exact", {"HEAD": None}, r"score\.weight' is missing"),
        ("lora_exact", {"other": TensorInfo("F32", (1,))}, "'delta/other' is none of those that are trained"),
        ("ffa", {"A": TensorInfo("F32", (6, 24))}, r"lora_A\.weight' is frozen under ffa"),
        ("ffa", {"B": TensorInfo("F32", (24, 2))}, "of rank 2 wants"),
    ],
)
def test_an_update_of_another_form_is_refused_with_what_to_send(rule: str, sent: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        rank_of_update(update(rule=rule, **sent), MODEL, rule=rule, r=6)
    assert caught.value.code is ErrorCode.BAD_UPDATE
    assert "rank 1..6 in all layers" in caught.value.mend
    assert ("no A, which is frozen" in caught.value.mend) == (rule == "ffa")


def test_an_update_without_its_prefix_or_with_a_second_set_is_refused() -> None:
    plain = trained_layout(MODEL, rule="lora_exact", r=6)
    with pytest.raises(Refused, match="is missing"):
        rank_of_update(plain, MODEL, rule="lora_exact", r=6)
    with pytest.raises(Refused, match="'aux/"):
        rank_of_update(update() | {"aux/" + A: TensorInfo("F32", (6, 24))}, MODEL, rule="lora_exact", r=6)
