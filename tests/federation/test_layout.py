"""Headers come from strangers: each test hands `read_layout` one that lies in one way."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from federation.errors import ErrorCode, Refused
from federation.layout import MAX_HEADER, MAX_TENSORS, TensorInfo, layout_bytes, layout_of, read_layout


def write(path: Path, header: Any, values: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + values)
    return path


def tensor(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        read_layout(path)
    assert caught.value.code is ErrorCode.BAD_UPDATE
    assert "safetensors" in caught.value.mend
    return caught.value.problem


def test_reads_what_the_library_writes_for_every_dtype_with_scalars_and_empty_tensors(tmp_path: Path) -> None:
    tensors = {
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 3),
        "double": torch.ones(2, dtype=torch.float64),
        "half": torch.ones(3, dtype=torch.float16),
        "brain": torch.ones(5, dtype=torch.bfloat16),
        "long": torch.ones(2, dtype=torch.int64),
        "int": torch.ones(2, dtype=torch.int32),
        "short": torch.ones(2, dtype=torch.int16),
        "char": torch.ones(2, dtype=torch.int8),
        "byte": torch.ones(2, dtype=torch.uint8),
        "bool": torch.ones(3, dtype=torch.bool),
    }
    safetensors.torch.save_file(tensors, tmp_path / "m", metadata={"made": "here"})
    layout = read_layout(tmp_path / "m")
    assert layout == layout_of(tensors)
    assert layout["scalar"] == TensorInfo("F32", ())
    assert layout_bytes(layout) == sum(t.nbytes for t in tensors.values())


def test_a_file_without_tensors_is_a_layout_without_tensors(tmp_path: Path) -> None:
    assert read_layout(write(tmp_path / "m", {})) == {}


def test_a_header_padded_with_spaces_is_read(tmp_path: Path) -> None:
    text = json.dumps({"w": tensor()}).encode() + b"     "
    assert read_layout(write(tmp_path / "m", text, b"\0" * 4)) == {"w": TensorInfo("F32", (1,))}


@pytest.mark.parametrize("data", [b"", b"\1", b"\0" * 7])
def test_a_file_shorter_than_the_length_of_a_header_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m").write_bytes(data)
    assert f"has {len(data)} bytes in all" in refusal(tmp_path / "m")


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 1 << 40, 100])
def test_a_header_that_claims_more_than_the_file_has_is_refused(tmp_path: Path, length: int) -> None:
    assert f"claims a header of {length} bytes" in refusal(write(tmp_path / "m", {}, length=length))


def test_a_header_of_gigabytes_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    path = write(tmp_path / "m", b"{", length=3 << 30)
    os.truncate(path, 4 << 30)  # a sparse file: the bytes are there, and are zeros
    tracemalloc.start()
    try:
        assert f"at most {MAX_HEADER}" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_caller_can_bound_the_header_further(tmp_path: Path) -> None:
    path = write(tmp_path / "m", b"{" + b" " * 100 + b"}")
    with pytest.raises(Refused, match="at most 64 are allowed"):
        read_layout(path, max_header=64)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "brace"),
        (b"[]", "brace"),
        (b" {}", "brace"),
        (b"\xef\xbb\xbf{}", "brace"),
        (b"{", "strict JSON"),
        (b"{} {}", "strict JSON"),
        (b'{"\xff": 1}', "strict JSON"),
        (b'{"w": NaN}', "NaN is not JSON"),
        (b'{"w": -Infinity}', "-Infinity is not JSON"),
        (b'{"w": ' + b"9" * 5000 + b"}", "strict JSON"),
        (b'{"w": ' + b"[" * 200_000, "strict JSON"),
        (b'{"w": 1, "w": 1}', "'w' occurs twice"),
        (b'{"w": {"dtype": "F32", "dtype": "F32"}}', "'dtype' occurs twice"),
        (b'{"__metadata__": {"a": "1", "a": "2"}}', "'a' occurs twice"),
        (b'{"__metadata__": {}, "__metadata__": {}}', "'__metadata__' occurs twice"),
    ],
)
def test_a_header_that_is_no_strict_json_is_refused(tmp_path: Path, header: bytes, reason: str) -> None:
    assert reason in refusal(write(tmp_path / "m", header))


def test_metadata_of_strings_is_ignored(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}, "w": tensor()}
    assert read_layout(write(tmp_path / "m", header, b"\0" * 4)) == {"w": TensorInfo("F32", (1,))}


@pytest.mark.parametrize("metadata", [None, [], "pt", 1, {"a": 1}, {"a": {"b": "c"}}])
def test_metadata_of_anything_else_is_refused(tmp_path: Path, metadata: Any) -> None:
    assert "__metadata__" in refusal(write(tmp_path / "m", {"__metadata__": metadata}))


@pytest.mark.parametrize(
    "entry", [None, 1, [], "F32", {}, {"dtype": "F32", "shape": [1]}, tensor() | {"device": "cuda"}]
)
def test_a_tensor_described_by_other_members_is_refused(tmp_path: Path, entry: Any) -> None:
    assert "dtype, shape and data_offsets" in refusal(write(tmp_path / "m", {"w": entry}, b"\0" * 4))


@pytest.mark.parametrize("dtype", ["F31", "f32", "", "F8_E4M3", "C64", None, 32, ["F32"]])
def test_an_unknown_dtype_is_refused(tmp_path: Path, dtype: Any) -> None:
    problem = refusal(write(tmp_path / "m", {"w": tensor(dtype)}, b"\0" * 4))
    assert "'w' of a dtype that is none of F64, F32" in problem


@pytest.mark.parametrize(
    "shape",
    [None, 1, "1", {}, [-1], [1.0], [True], ["1"], [None], [[1]], [1] * 17, [2**62], [2**31, 2**31], [0, 2**62]],
)
def test_an_impossible_shape_is_refused(tmp_path: Path, shape: Any) -> None:
    assert "impossible shape" in refusal(write(tmp_path / "m", {"w": tensor(shape=shape)}, b"\0" * 4))


@pytest.mark.parametrize("offsets", [None, [], [0], [0, 4, 8], [4, 0], [-4, 0], [0, 4.0], [False, 4], [0, 2**70]])
def test_impossible_offsets_are_refused(tmp_path: Path, offsets: Any) -> None:
    assert "impossible data_offsets" in refusal(write(tmp_path / "m", {"w": tensor(offsets=offsets)}, b"\0" * 4))


def test_a_span_of_another_size_than_shape_and_dtype_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"w": tensor(shape=[3], offsets=[0, 8])}, b"\0" * 8)
    assert "gives tensor 'w' 8 bytes where F32 [3] takes 12" in refusal(path)


@pytest.mark.parametrize(
    ("spans", "size", "reason"),
    [
        ([(0, 8), (4, 12)], 12, "overlaps"),
        ([(0, 8), (0, 8)], 8, "overlaps"),
        ([(0, 8), (12, 20)], 20, "hole"),
        ([(4, 12)], 12, "hole"),
        ([(0, 8), (8, 16)], 12, "12 bytes of values where its header describes 16"),
        ([(0, 8)], 9, "9 bytes of values where its header describes 8"),
        ([], 1, "1 bytes of values where its header describes 0"),
    ],
)
def test_tensors_that_do_not_tile_the_file_are_refused(
    tmp_path: Path, spans: list[tuple[int, int]], size: int, reason: str
) -> None:
    header = {f"t{i}": tensor(shape=[2], offsets=span) for i, span in enumerate(spans)}
    assert reason in refusal(write(tmp_path / "m", header, b"\0" * size))


def test_tensors_may_lie_in_any_order_with_empty_ones_between(tmp_path: Path) -> None:
    header = {
        "b": tensor(shape=[2], offsets=[4, 12]),
        "none": tensor(shape=[0], offsets=[4, 4]),
        "a": tensor(offsets=[0, 4]),
        "end": tensor(shape=[0, 5], offsets=[12, 12]),
    }
    assert set(read_layout(write(tmp_path / "m", header, b"\0" * 12))) == {"a", "b", "none", "end"}


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    header = {str(i): tensor(shape=[0], offsets=[0, 0]) for i in range(MAX_TENSORS + 1)}
    assert f"at most {MAX_TENSORS}" in refusal(write(tmp_path / "m", header))


@pytest.mark.parametrize("name", ["\ud800", "n" * 1025])
def test_a_name_that_is_no_text_of_bounded_length_is_refused(tmp_path: Path, name: str) -> None:
    problem = refusal(write(tmp_path / "m", {name: tensor()}, b"\0" * 4))
    assert "names a tensor" in problem
    assert len(problem.encode()) < 300


def test_a_hostile_name_is_quoted_in_the_refusal(tmp_path: Path) -> None:
    problem = refusal(write(tmp_path / "m", {"\x1b[2J\n" + "n" * 500: tensor("no")}, b"\0" * 4))
    assert "\x1b" not in problem
    assert "\n" not in problem
    assert len(problem) < 300


def test_a_tensor_that_cannot_be_carried_is_refused_by_name() -> None:
    with pytest.raises(Refused, match=r"'z' is strided complex64"):
        layout_of({"z": torch.zeros(1, dtype=torch.complex64)})
    with pytest.raises(Refused, match=r"'s' is sparse_coo float32"):
        layout_of({"s": torch.eye(2).to_sparse()})
