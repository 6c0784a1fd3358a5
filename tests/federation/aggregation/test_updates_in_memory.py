"""Updates in memory and updates in files: the same model, to the bit."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from federation.aggregation.across import sum_across
from federation.aggregation.compatibility import Cell, cells, refusals
from federation.aggregation.contributions import Claim, Contribution
from federation.aggregation.files import FileUpdates
from federation.aggregation.memory import MemoryUpdates
from federation.aggregation.outcome import Aggregate
from federation.aggregation.rules import aggregate, aggregate_updates
from federation.errors import ErrorCode, Refused
from federation.spec import AggregationSpec, TrainingSpec
from federation.weights import layout_of, pack_update, to_bytes

CLIENTS = 15
SHAPES = {"z.weight": (37, 11), "a.bias": (37,), "m.scalar": (), "e.empty": (0, 3)}
ALLOWED = [cell for cell in cells() if cell.model == "classifier" and not refusals(cell)]


def draw(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}


def both_ways(spec: AggregationSpec, folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Aggregate, Aggregate]:
    """A round through files and through memory."""
    base, deltas = draw(99, dtype), [draw(i, dtype) for i in range(CLIENTS)]
    (folder / "base").write_bytes(to_bytes(base))
    contributions, claims = [], []
    for i, delta in enumerate(deltas):
        aux = {name: 2 * tensor.float() for name, tensor in delta.items()} if spec.control_variates else None
        (folder / str(i)).write_bytes(pack_update(delta, aux))
        contributions.append(Contribution(f"node-{i:02d}", "u", folder / str(i), 10 + i, 1 + i % 3))
        claims.append(Claim(f"node-{i:02d}", "u", 10 + i, 1 + i % 3))
    stacked = {name: torch.stack([delta[name] for delta in deltas]) for name in SHAPES}
    names = [claim.node_id for claim in claims]
    training = TrainingSpec(epochs=3)
    more: dict[str, Any] = {"training": training, "seed": 5, "clients": CLIENTS + 4}
    from_files = aggregate(spec, folder / "base", contributions, **more)
    changes = MemoryUpdates({name: 2 * tensor.float() for name, tensor in stacked.items()}, names)
    in_memory = aggregate_updates(spec, base, claims, MemoryUpdates(stacked, names), changes=changes, **more)
    return from_files, in_memory


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return to_bytes(one) == to_bytes(other)


@pytest.mark.parametrize("cell", ALLOWED, ids=lambda cell: f"{cell.rule}-{cell.mixing}-{cell.weighting}")
def test_every_allowed_combination_makes_the_same_bits_in_memory_as_from_files(cell: Cell, tmp_path: Path) -> None:
    options = {"f": 1} if cell.rule == "bulyan" else {}
    spec = AggregationSpec(rule=cell.rule, mixing=cell.mixing, weighting=cell.weighting, options=options)  # type: ignore[arg-type]
    from_files, in_memory = both_ways(spec, tmp_path)
    assert same_bits(from_files.weights, in_memory.weights)
    assert from_files.state.keys() == in_memory.state.keys()
    assert all(torch.equal(from_files.state[name], in_memory.state[name]) for name in from_files.state)
    for one, other in zip(from_files.diagnoses, in_memory.diagnoses, strict=True):
        assert (one.weight, one.score, one.reason) == (other.weight, other.score, other.reason)
        assert other.norm == pytest.approx(one.norm, rel=1e-6)
        assert other.cosine == pytest.approx(one.cosine, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rule", ["fedavg", "krum", "median"])
def test_models_of_other_dtypes_make_the_same_bits_too(rule: str, dtype: torch.dtype, tmp_path: Path) -> None:
    from_files, in_memory = both_ways(AggregationSpec.model_validate({"rule": rule}), tmp_path, dtype)
    assert same_bits(from_files.weights, in_memory.weights)


def test_rows_of_a_matrix_are_the_tensors_of_a_layout(tmp_path: Path) -> None:
    deltas = [draw(i) for i in range(4)]
    layout = layout_of(deltas[0])
    rows = torch.stack([torch.cat([delta[name].reshape(-1) for name in layout]) for delta in deltas])
    for i, delta in enumerate(deltas):
        (tmp_path / str(i)).write_bytes(pack_update(delta))
    files = FileUpdates([tmp_path / str(i) for i in range(4)], layout)
    memory = MemoryUpdates.of_matrix(rows, layout, list("abcd"))
    weights = [0.1, 0.0, 0.2, 0.7]
    assert same_bits(files.weighted_sum(weights), memory.weighted_sum(weights))
    for one, other in zip(files.blocks(np.float64), memory.blocks(np.float64), strict=True):
        assert (one.name, one.start, one.values.tolist()) == (other.name, other.start, other.values.tolist())
    with torch.no_grad():
        rows.add_(1.0)
    assert next(islice(memory.blocks(np.float64), 1)).values[0, 0] == pytest.approx(float(deltas[0]["a.bias"][0]) + 1)


def test_updates_out_of_order_are_refused_instead_of_summed_in_another_order() -> None:
    claims = [Claim("node-b", "u", 1, 1), Claim("node-a", "u", 1, 1)]
    updates = MemoryUpdates({"w": torch.ones(2, 3)}, ["b", "a"])
    with pytest.raises(ValueError, match="order"):
        aggregate_updates(AggregationSpec(), {"w": torch.zeros(3)}, claims, updates)


@pytest.mark.parametrize("rule", ["fedavg", "krum", "median"])
def test_an_update_in_memory_that_is_not_finite_never_reaches_the_model(rule: str) -> None:
    rows = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    rows[2, 1] = torch.nan
    claims = [Claim(f"node-{i}", "u", 1, 1) for i in range(7)]
    updates = MemoryUpdates({"w": rows}, [claim.node_id for claim in claims])
    with pytest.raises(Refused) as caught:
        aggregate_updates(AggregationSpec.model_validate({"rule": rule}), {"w": torch.zeros(3)}, claims, updates)
    assert caught.value.code is ErrorCode.BAD_UPDATE


@pytest.mark.parametrize("side_by_side", [256, 2], ids=["read once", "read twice"])
def test_a_sum_over_blocks_is_the_sum_of_one_update_after_the_other(
    side_by_side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.aggregation.files._SIDE_BY_SIDE", side_by_side)
    monkeypatch.setattr("federation.aggregation.across._COLUMNS", 256)
    generator = torch.Generator().manual_seed(3)
    deltas = [
        {
            "narrow": torch.randn(700, generator=generator).bfloat16(),
            "usual": torch.randn(30, 20, generator=generator),
            "wide": torch.randn(300, generator=generator, dtype=torch.float64),
        }
        for _ in range(5)
    ]
    for i, delta in enumerate(deltas):
        (tmp_path / str(i)).write_bytes(pack_update(delta))
    files = FileUpdates([tmp_path / str(i) for i in range(5)], layout_of(deltas[0]))
    weights = [0.3, 0.0, 0.2, -0.1, 0.6]
    found = sum_across(files, weights)
    assert same_bits(found.delta, files.weighted_sum(weights))
    flat = torch.stack([torch.cat([tensor.double().reshape(-1) for tensor in delta.values()]) for delta in deltas])
    total = torch.tensor(weights, dtype=torch.float64) @ flat
    for row, each in zip(flat, found.alignments, strict=True):
        assert each.norm == pytest.approx(float(row.norm()), rel=1e-6)
        assert each.cosine == pytest.approx(float(row @ total / row.norm() / total.norm()), abs=1e-6)
