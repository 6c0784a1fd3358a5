"""What layers put out, as shapes alone.

The kernels for PyTorch's meta device know the shapes of every operation, but most of them are written in Python and
load torch._dynamo and sympy when they are first used: a second of CPU and 70 MB, in every server that is given a task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Pair = int | tuple[int, int]


def _relu(x: Tensor, inplace: bool = False) -> Tensor:
    return x


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]))


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    out, _, *kernel = weight.shape
    return x.new_empty((len(x), out, *_sides(x, kernel, stride, padding, dilation)))


def _max_pool2d(
    x: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | None:
    if ceil_mode or return_indices:
        return None
    kernel = _pair(kernel_size)
    return x.new_empty((*x.shape[:2], *_sides(x, kernel, kernel if stride is None else stride, padding, dilation)))


def _sides(x: Tensor, kernel: Any, stride: Pair, padding: Pair, dilation: Pair) -> list[int]:
    each = zip(x.shape[2:], kernel, _pair(stride), _pair(padding), _pair(dilation), strict=True)
    return [(side + 2 * pad - apart * (k - 1) - 1) // step + 1 for side, k, step, pad, apart in each]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


_KNOWN: dict[Any, Callable[..., Tensor | None]] = {
    F.relu: _relu,
    F.linear: _linear,
    F.conv2d: _conv2d,
    F.max_pool2d: _max_pool2d,
}
"""What they answer; None: as they are asked, PyTorch knows it."""


class Shapes(TorchFunctionMode):
    """In this context, layers that are known here need no kernel for tensors on the meta device; all others do."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        known = _KNOWN.get(func)
        if known is not None and isinstance(args[0], Tensor) and args[0].device.type == "meta":
            found = known(*args, **(kwargs or {}))
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


def pass_through(model: torch.nn.Module, shape: tuple[int, ...]) -> None:
    """One forward pass of a model on the meta device, with an input of this shape."""
    with torch.no_grad(), Shapes():
        model(torch.empty(shape, device="meta"))
