"""Seeded initial weights that neither read nor move torch's global random state, so that threads cannot mix them up."""

from __future__ import annotations

import math

import torch
from torch import nn


def initialise(model: nn.Module, seed: int) -> None:
    """Draw every weight and bias of `model` from uniform(-1/sqrt(fan_in), 1/sqrt(fan_in)), in place.

    That is what `torch.nn.Linear` and `torch.nn.Conv2d` do by themselves (He et al. 2015 with gain 1/sqrt(3)), from a
    generator of its own instead of the global one. Values are drawn in the order of `model.modules()`.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        own = list(module.parameters(recurse=False)) + list(module.buffers(recurse=False))
        if isinstance(module, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            for parameter in own:
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
        elif own:
            raise TypeError(f"no initialisation is known for {type(module).__name__}")
