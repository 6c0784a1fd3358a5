"""The backdoor of Gu et al. 2017 (BadNets, arXiv:1708.06733): a patch that means one class, taught by some clients.

Half of an attacker's images get a white patch in the corner and the target's label. What the attack achieved is the
share of patched test images of other classes that the model takes for the target.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.simulation.clients import Client

TARGET = 0
_SIDE = 3


def plant(
    pool: Examples, clients: Sequence[Client], attackers: Collection[str], seed: int
) -> tuple[Examples, list[Client]]:
    """The pool with patched copies at its end, and the clients, attackers holding every other example patched.

    Refused (invalid_spec) for examples that are no images of at least 3x3 pixels.
    """
    extra: list[Tensor] = []
    changed: list[Client] = []
    end = len(pool)
    for number, client in enumerate(clients):
        if client.name not in attackers:
            changed.append(client)
            continue
        generator = torch.Generator().manual_seed(seed + number)
        order = torch.randperm(len(client), generator=generator)
        half = client.indices[order[: len(client) // 2]]
        extra.append(half)
        kept = client.indices[order[len(client) // 2 :]]
        changed.append(Client(client.name, torch.cat([kept, torch.arange(end, end + len(half))])))
        end += len(half)
    if not extra:
        return pool, changed
    copied = torch.cat(extra)
    labels = torch.full((len(copied),), TARGET, dtype=pool.y.dtype)
    return Examples(torch.cat([pool.x, patched(pool.x[copied])]), torch.cat([pool.y, labels])), changed


def trigger_set(test: Examples) -> Examples:
    """Patched test images of the other classes, labelled with the target: accuracy on them is the attack's success."""
    others = torch.nonzero(test.y != TARGET).flatten()
    return Examples(patched(test.x[others]), torch.full((len(others),), TARGET, dtype=test.y.dtype))


def patched(images: Tensor) -> Tensor:
    """Copies of images [n, channels, height, width] with 3x3 white pixels in the last corner."""
    check_patchable(images.shape[1:])
    images = images.clone()
    images[:, :, -_SIDE:, -_SIDE:] = 1.0
    return images


def check_patchable(shape: Sequence[int]) -> None:
    """Refuses (invalid_spec) examples of a shape that has no room for the patch."""
    if len(shape) != 3 or min(shape[1:]) < _SIDE:
        raise Refused(
            ErrorCode.INVALID_SPEC,
            f"a backdoor patch needs images of at least {_SIDE}x{_SIDE} pixels, not {list(shape)}.",
            "choose image data, or another attack",
        )
