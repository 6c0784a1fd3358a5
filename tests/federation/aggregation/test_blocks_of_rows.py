"""Several blocks of many updates, and what is made of a block's rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from federation.aggregation.blocks import row_means
from federation.aggregation.files import FileUpdates
from federation.aggregation.gram import gram
from federation.aggregation.memory import MemoryUpdates
from federation.layout import layout_of
from federation.weights import pack_update

UPDATES, WIDTH = 50, 20_000  # two blocks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_products_are_those_of_the_whole_updates_from_memory_as_from_files(dtype: torch.dtype, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn((UPDATES, WIDTH), generator=generator, dtype=torch.float64).to(dtype)
    paths = [tmp_path / str(place) for place in range(UPDATES)]
    for path, row in zip(paths, rows, strict=True):
        path.write_bytes(pack_update({"weight": row}))
    from_files = gram(FileUpdates(paths, layout_of({"weight": rows[0]})))
    in_memory = gram(MemoryUpdates({"weight": rows}, [path.name for path in paths]))
    whole = rows.double().numpy()
    assert np.array_equal(from_files, in_memory)
    assert np.allclose(from_files, whole @ whole.T, rtol=1e-12, atol=1e-9)


def test_the_mean_of_equal_values_is_that_value() -> None:
    for count in (1, 2, 3, 30):
        values = np.full((7, count), np.float32(0.1))
        assert np.array_equal(row_means(values), np.full(7, np.float64(np.float32(0.1))))


def test_means_are_summed_in_float64() -> None:
    values = np.array([[1e8, 1.0, -1e8, 1.0]] * 5, np.float32)
    assert row_means(values).tolist() == [0.5] * 5
