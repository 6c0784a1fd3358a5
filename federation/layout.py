"""What a safetensors file says it holds, read from its header alone, before anything trusts or allocates.

A file is 8 bytes (the header's length, little endian), the header (JSON: name -> dtype, shape, data_offsets) and the
tensors' bytes. The header comes from a stranger, so it is bounded, parsed strictly and matched against the file's
size here; only then does the safetensors library map the file.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from federation.errors import ErrorCode, Refused

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

MAX_HEADER = 16 << 20
MAX_TENSORS = 65_536
MAX_RANK = 16
MAX_NAME = 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class TensorInfo:
    """A tensor's dtype in safetensors' spelling, e.g. F32, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"

    @property
    def num_values(self) -> int:
        """Values of the tensor."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes of the tensor's values."""
        return self.num_values * DTYPES[self.dtype].itemsize


Layout = dict[str, TensorInfo]


def layout_of(tensors: Mapping[str, torch.Tensor]) -> Layout:
    """The layout of tensors in memory; a tensor that Potluck cannot carry is refused."""
    return {name: _info_of(name, tensor) for name, tensor in tensors.items()}


def layout_bytes(layout: Layout) -> int:
    """Bytes of all values, without the header."""
    return sum(info.num_bytes for info in layout.values())


def read_layout(path: Path, *, max_header: int = MAX_HEADER) -> Layout:
    """The layout that the file's header states, with the file's size as its witness.

    Refuses (bad_update) a file that is cut short, claims a header of more than `max_header` bytes or than the file
    has, is no strict JSON, names a tensor twice, or whose tensors do not fill the file without overlap or hole.
    """
    return read_header(path, max_header=max_header)[0]


def read_offsets(path: Path, *, max_header: int = MAX_HEADER) -> dict[str, int]:
    """At which byte of the file each tensor's values begin. Refusals as for `read_layout`."""
    return read_header(path, max_header=max_header)[1]


def read_header(path: Path, *, max_header: int = MAX_HEADER) -> tuple[Layout, dict[str, int]]:
    """Layout and offsets at once. Refusals as for `read_layout`."""
    with path.open("rb") as file:
        return _read(file, os.fstat(file.fileno()).st_size, max_header)


def layout_in(data: bytes) -> Layout:
    """As `read_layout`, for a file in memory."""
    layout, _ = _read(io.BytesIO(data), len(data), MAX_HEADER)
    return layout


def shown(name: str) -> str:
    """A name from a stranger, fit for a message: quoted, escaped, of bounded length."""
    return repr(name if len(name) <= 80 else name[:77] + "...")


def _info_of(name: str, tensor: torch.Tensor) -> TensorInfo:
    if tensor.layout is not torch.strided or tensor.dtype not in _NAMES:
        kind = f"{tensor.layout} {tensor.dtype}".replace("torch.", "")
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"tensor {shown(name)} is {kind}, which Potluck does not carry.",
            f"convert it to a dense tensor of one of {', '.join(DTYPES)}",
        )
    return TensorInfo(_NAMES[tensor.dtype], tuple(tensor.shape))


def _read(file: BinaryIO, size: int, max_header: int) -> tuple[Layout, dict[str, int]]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise _malformed(f"claims a header of {length} bytes but has {size} bytes in all")
    if length > max_header:
        raise _malformed(f"claims a header of {length} bytes; at most {max_header} are allowed here")
    try:
        header = _strict_json(file.read(length))
    except (ValueError, RecursionError) as error:
        raise _malformed(f"has a header that is no strict JSON object: {str(error)[:200]}") from None
    _check_metadata(header.pop("__metadata__", {}))
    if len(header) > MAX_TENSORS:
        raise _malformed(f"names {len(header)} tensors; at most {MAX_TENSORS} are allowed")

    layout: Layout = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        layout[name], begin, end = _parse_entry(name, entry)
        spans.append((begin, end, name))
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            found = "overlaps another" if begin < position else "leaves a hole before it"
            raise _malformed(f"has tensor {shown(name)} at byte {begin}, which {found}")
        position = end
    if position != size - 8 - length:
        raise _malformed(f"has {size - 8 - length} bytes of values where its header describes {position}")
    return layout, {name: 8 + length + begin for begin, _, name in spans}


def _strict_json(raw: bytes) -> dict[str, Any]:
    if not raw.startswith(b"{"):
        raise ValueError("it does not begin with a brace")
    header: dict[str, Any] = _STRICT.decode(raw.decode())
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{shown(name)} occurs twice")
        found[name] = value
    return found


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _malformed("has __metadata__ that does not map strings to strings")


def _parse_entry(name: str, entry: Any) -> tuple[TensorInfo, int, int]:
    if len(name) > MAX_NAME or _SURROGATE.search(name):
        raise _malformed(f"names a tensor {shown(name)}: no Unicode text of at most {MAX_NAME} characters")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _malformed(f"describes tensor {shown(name)} by other members than dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _malformed(f"has tensor {shown(name)} of a dtype that is none of {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > MAX_RANK or math.prod(max(1, n) for n in shape) >= 2**59:
        raise _malformed(f"has tensor {shown(name)} of an impossible shape")
    if not _are_sizes(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] < 2**63:
        raise _malformed(f"has tensor {shown(name)} at impossible data_offsets")
    info, (begin, end) = TensorInfo(dtype, tuple(shape)), offsets
    if end - begin != info.num_bytes:
        raise _malformed(f"gives tensor {shown(name)} {end - begin} bytes where {info} takes {info.num_bytes}")
    return info, begin, end


def _are_sizes(value: Any) -> bool:
    # type(), not isinstance(): JSON's true is an int to Python.
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _malformed(problem: str) -> Refused:
    return Refused(ErrorCode.BAD_UPDATE, f"the safetensors file {problem}.", "write it with a safetensors library")
