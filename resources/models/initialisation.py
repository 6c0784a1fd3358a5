"""Seeded initial weights that neither read nor move torch's global random state, so that threads cannot mix them up."""

from __future__ import annotations

import math

import torch
from torch import nn

PYTORCH = 1 / math.sqrt(3)
HE = math.sqrt(2)


def initialise(model: nn.Module, seed: int, gain: float = PYTORCH) -> None:
    """Draw every weight and bias of `model` anew, in place and in the order of `model.modules()`.

    Weights are uniform with standard deviation gain / sqrt(fan_in), biases uniform in ±1/sqrt(fan_in). The gain PYTORCH
    is what `torch.nn.Linear` and `torch.nn.Conv2d` draw by themselves; HE (He et al. 2015, arXiv:1502.01852) keeps the
    signal's size through ReLU, without which a deep network does not begin to learn.

    Raises:
        TypeError: a layer other than those two has weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        own = list(module.parameters(recurse=False)) + list(module.buffers(recurse=False))
        if isinstance(module, nn.Linear | nn.Conv2d):
            unit = 1 / math.sqrt(module.weight[0].numel())
            bound = gain * math.sqrt(3) * unit
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -unit, unit, generator=generator)
        elif own:
            raise TypeError(f"no initialisation is known for {type(module).__name__}")
