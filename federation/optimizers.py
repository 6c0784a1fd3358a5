"""PyTorch's own SGD and Adam without its compiler.

Creating an optimiser, or taking a step, imports torch._dynamo: decorators tell the compiler to leave these methods
alone. That is a second of CPU and 70 MB in every process that trains, and nothing here is ever compiled. The classes
below have the same methods as they were written, without their decorators.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.optim import Optimizer


class _Plain(Optimizer):
    """The undecorated methods of any optimiser."""

    add_param_group: Any = inspect.unwrap(Optimizer.add_param_group)
    zero_grad: Any = inspect.unwrap(Optimizer.zero_grad)
    state_dict: Any = inspect.unwrap(Optimizer.state_dict)
    load_state_dict: Any = inspect.unwrap(Optimizer.load_state_dict)


class Sgd(_Plain, torch.optim.SGD):
    """torch.optim.SGD: same arguments, same bits, same state."""

    step: Any = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Adam(_Plain, torch.optim.Adam):
    """torch.optim.Adam: same arguments, same bits, same state."""

    step: Any = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
