"""safetensors files from strangers: real ones with bytes changed, headers that lie, overlaps, huge shapes."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from federation.errors import ErrorCode, Refused
from federation.layout import DTYPES, layout_in, read_layout
from federation.weights import check_update, layout_of, load, load_bytes, pack_update, to_bytes
from tests.fuzz.cases import draw, junk, mutated
from tests.fuzz.surface import check_text

MODEL = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2), "half": torch.ones(3, dtype=torch.float16)}


class TensorFiles:
    """Reads files as an update is read: the header alone, then checked, then mapped."""

    name = "safetensors files"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "update.safetensors"
        self._layout = layout_of(MODEL)

    def close(self) -> None:
        """Removes the folder."""
        self._folder.cleanup()

    def cases(self, count: int, seed: int) -> list[bytes]:
        """Files."""
        real = [pack_update(MODEL), to_bytes({"x": torch.ones(4, dtype=torch.int64)}), to_bytes({})]
        return draw(st.one_of(*[mutated(data) for data in real], _built()), count, seed)

    async def throw(self, case: bytes) -> str:
        """Reads it. What is accepted must be sound to the last byte."""
        self._path.write_bytes(case)
        refused: Refused | None = None
        try:
            layout = read_layout(self._path)
            assert layout == layout_in(case)
            assert sum(info.num_bytes for info in layout.values()) <= len(case)
            for found in (load(self._path), load_bytes(case)):
                assert {name: (tuple(t.shape), t.dtype) for name, t in found.items()} == {
                    name: (info.shape, DTYPES[info.dtype]) for name, info in layout.items()
                }
            norm = check_update(self._path, self._layout, max_norm=1e6)
        except Refused as found:
            refused = found
        if refused is not None:
            assert refused.code is ErrorCode.BAD_UPDATE, refused
            assert len(refused.problem) < 2_000, "a stranger's words do not fill the log"
            check_text(None, str(refused))
            return _kind(refused.problem)
        assert math.isfinite(norm)
        assert norm <= 1e6
        return "accepted"


def _kind(problem: str) -> str:
    words = (
        "header",
        "overlaps",
        "hole",
        "dtype",
        "shape",
        "offsets",
        "missing",
        "NaN",
        "norm",
        "bytes",
        "none of",
        "where",
    )
    return next((word for word in words if word in problem), "otherwise")


def _built() -> SearchStrategy[bytes]:
    """Headers made of likely members with unlikely values."""
    sizes = st.one_of(
        st.integers(0, 9), st.sampled_from([2**31, 2**62, 2**63, 2**64, -1, 10**30, True, 1.0, None, "1"])
    )
    dtypes = st.one_of(st.sampled_from([*DTYPES, "F8_E4M3", "f32", "", None, 7]))
    names = st.sampled_from(["delta/a.weight", "delta/b", "delta/half", "a", "", "\ud800", "é" * 600, "__metadata__"])
    entry: SearchStrategy[Any] = st.fixed_dictionaries(
        {
            "dtype": dtypes,
            "shape": st.lists(sizes, max_size=4) | st.sampled_from([[1] * 40, [0] * 17, {}, None]),
            "data_offsets": st.lists(sizes, min_size=1, max_size=3),
        },
        optional={"extra": junk()},
    )
    fitting = st.sampled_from(["F32", "F16", "I64"]).flatmap(_fitting)
    header = st.dictionaries(names, st.one_of(fitting, fitting, entry, junk()), max_size=4)
    length = st.sampled_from([None, None, None, 0, 1, 2**63, 2**64 - 1, 10**6])
    return st.tuples(header, st.binary(max_size=60), length).map(_assembled)


def _fitting(dtype: str) -> SearchStrategy[Any]:
    """A tensor whose bytes follow from its shape, at an offset where another may lie."""
    size = DTYPES[dtype].itemsize

    def place(shape_and_begin: tuple[list[int], int]) -> dict[str, Any]:
        shape, begin = shape_and_begin
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + size * math.prod(shape)]}

    return st.tuples(st.lists(st.integers(0, 3), max_size=3), st.sampled_from([0, 0, 0, 4, 8, 24])).map(place)


def _assembled(parts: tuple[dict[str, Any], bytes, int | None]) -> bytes:
    header, values, length = parts
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + values
