"""Models and updates as bytes: safetensors in, safetensors out, and the arithmetic between the two.

An update is a delta, local minus global. Its file holds a tensor `delta/<name>` for every tensor of the model, in the
model's dtype and shape. Only floating tensors can be averaged, so only they are federated. Where the rule asks for a
second set, as SCAFFOLD does, it is `aux/<name>` for every tensor, in its shape and in float32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from federation.errors import ErrorCode, Refused
from federation.layout import DTYPES, Layout, TensorInfo, layout_bytes, layout_in, layout_of, read_layout, shown

__all__ = [
    "AUX",
    "DELTA",
    "FLOATING",
    "Layout",
    "TensorInfo",
    "Tensors",
    "add",
    "aux_layout",
    "check_layout",
    "check_model",
    "check_update",
    "chunks",
    "layout_bytes",
    "layout_of",
    "load",
    "load_bytes",
    "pack_update",
    "prefixed",
    "read_layout",
    "squared_norm",
    "subtract",
    "to_bytes",
]

Tensors = Mapping[str, torch.Tensor]

DELTA = "delta/"
AUX = "aux/"
FLOATING = frozenset({"F64", "F32", "F16", "BF16"})
_LARGEST_SQUARE = 1e300  # distances between such updates are finite in float64 still
_BLOCK = 65_536  # values: half a megabyte in float64, which a core's cache holds


def chunks(tensors: Tensors) -> Iterator[bytes | memoryview]:
    """A safetensors file piece by piece, without a second copy of the model in memory.

    Canonical: the same tensors give the same bytes, whatever their order, strides or sharing. Tensors lie by falling
    size of their elements, then by name, so that each one is aligned; there is no metadata.
    """
    layout = layout_of(tensors)
    names = sorted(layout, key=lambda name: (-DTYPES[layout[name].dtype].itemsize, name))
    header, position = {}, 0
    for name in names:
        info, begin = layout[name], position
        position += info.num_bytes
        header[name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": (begin, position)}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data


def to_bytes(tensors: Tensors) -> bytes:
    """The canonical safetensors file of `tensors`; see `chunks`."""
    return b"".join(chunks(tensors))


def load(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, mapped: pages are read when touched, and writing to one copies it first."""
    read_layout(path)
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise _unreadable(error) from None


def load_bytes(data: bytes) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file in memory, copied out of it."""
    layout_in(data)
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise _unreadable(error) from None


def subtract(new: Tensors, base: Tensors) -> dict[str, torch.Tensor]:
    """The update that leads from `base` to `new`: new - base, tensor by tensor; both need one layout."""
    layout = layout_of(base)
    check_model(layout)
    _match(layout_of(new), layout)
    return {name: (new[name] - tensor).detach() for name, tensor in base.items()}


def add(base: Tensors, delta: Tensors) -> dict[str, torch.Tensor]:
    """`base` after the update: base + delta, tensor by tensor; both need one layout."""
    layout = layout_of(base)
    check_model(layout)
    _match(layout_of(delta), layout)
    return {name: (tensor + delta[name]).detach() for name, tensor in base.items()}


def pack_update(delta: Tensors, aux: Tensors | None = None) -> bytes:
    """The file that a node uploads: `delta` (names as the model's) under `delta/`, and `aux` under `aux/`."""
    layout = layout_of(delta)
    check_model(layout)
    if aux is None:
        return to_bytes({DELTA + name: tensor for name, tensor in delta.items()})
    _match(layout_of(aux), aux_layout(layout))
    return to_bytes(
        {DELTA + name: tensor for name, tensor in delta.items()} | {AUX + name: t for name, t in aux.items()}
    )


def aux_layout(model: Layout) -> Layout:
    """Of the second set, names without `aux/`: as the model, but all float32, for what is kept in it adds up."""
    return {name: TensorInfo("F32", info.shape) for name, info in model.items()}


def prefixed(layout: Layout, prefix: str) -> Layout:
    """The layout under other names."""
    return {prefix + name: info for name, info in layout.items()}


def check_model(model: Layout) -> None:
    """Refuses a model that cannot be federated: averaging is defined for floating tensors only."""
    if not model:
        raise Refused(ErrorCode.BAD_UPDATE, "there is no tensor to train.", "choose a model that has parameters")
    for name, info in model.items():
        if info.dtype not in FLOATING:
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"tensor {shown(name)} is {info.dtype}, which has no average.",
                f"leave it out of the federated tensors, or make it one of {', '.join(sorted(FLOATING))}",
            )


def check_layout(path: Path, model: Layout, *, prefix: str = DELTA, beside: Layout | None = None) -> None:
    """Refuses an update file whose tensors are not `<prefix><name>` for each tensor of the model, alike in dtype and
    shape, and those of `beside`, by their whole names; reads the header only, and no more of it than such an update
    needs."""
    check_model(model)
    wanted = prefixed(model, prefix) | (beside or {})
    roomy = 65_536 + sum(6 * len(name) + 512 for name in wanted)
    _match(read_layout(path, max_header=roomy), wanted)


def check_update(path: Path, model: Layout, *, max_norm: float | None, aux: bool = False) -> float:
    """The L2 norm of an update's delta (all tensors as one vector, summed in float64), once everything is in order.

    Args:
        path: the update file.
        model: layout of the global model, names without `delta/`.
        max_norm: the largest norm allowed; None for no bound.
        aux: whether the rule asks for the second set, `aux/<name>`; else it is refused. It has no part in the norm.

    Refuses (bad_update) other names, shapes or dtypes than the model's, values that are not finite, and a norm above
    the bound. One tensor is looked at at a time; memory does not grow with the model.
    """
    check_layout(path, model, beside=prefixed(aux_layout(model), AUX) if aux else None)
    total = 0.0
    for name, tensor in sorted(load(path).items()):
        square = squared_norm(tensor)
        if not square <= _LARGEST_SQUARE:
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"tensor {shown(name)} holds NaN or infinite values, or values too large to square.",
                "lower the learning rate or clip gradients, train again from the global model and send the new update",
            )
        if name.startswith(DELTA):
            total += square
    norm = math.sqrt(total)
    if max_norm is not None and not norm <= max_norm:
        raise Refused(
            ErrorCode.BAD_UPDATE,
            f"the update's L2 norm {norm:.6g} exceeds the task's bound {max_norm:.6g}.",
            f"scale the whole update by {max_norm / norm:.6g}, or train fewer steps or with a lower learning rate",
        )
    return norm


def squared_norm(tensor: torch.Tensor) -> float:
    """The sum of squares in float64, block by block: not finite exactly if a value is not (float64 may overflow)."""
    total = 0.0
    flat = tensor.detach().reshape(-1)
    for start in range(0, flat.numel(), _BLOCK):
        wide = flat[start : start + _BLOCK].double()
        total += float(wide.dot(wide))
    return total


def _match(found: Layout, wanted: Layout) -> None:
    mend = f"send local minus global for every tensor of the model, named {DELTA}<name>, in its dtype and shape"
    if any(name.startswith(AUX) for name in wanted):
        mend += f", and the change of this node's control variate, named {AUX}<name>, in its shape and in float32"
    for name, info in wanted.items():
        if name not in found:
            raise Refused(ErrorCode.BAD_UPDATE, f"tensor {shown(name)} is missing.", mend)
        if found[name] != info:
            whose = "this rule wants" if name.startswith(AUX) else "the model's is"
            problem = f"tensor {shown(name)} is {found[name]}, where {whose} {info}."
            raise Refused(ErrorCode.BAD_UPDATE, problem, mend)
    extra = sorted(found.keys() - wanted.keys())
    if extra:
        if extra[0].startswith(AUX):
            mend += f", and no {AUX}<name>, for which this task's rule has no use" if mend.count(AUX) == 0 else ""
        raise Refused(ErrorCode.BAD_UPDATE, f"tensor {shown(extra[0])} is none of the model's.", mend)


def _unreadable(error: Exception) -> Refused:
    problem = f"the safetensors file cannot be read: {str(error)[:200]}."
    return Refused(ErrorCode.BAD_UPDATE, problem, "write it with a safetensors library")
