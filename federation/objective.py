"""What training lessens and evaluation measures: from a model's logits and the right answers to one number."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -100
"""The label of a token on which no loss is taken: padding, or part of a prompt."""


class Objective(Protocol):
    """A loss that is a mean over targets."""

    def targets(self, y: Tensor) -> int:
        """How many answers `y` asks for."""
        ...

    def narrowed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Of `x` and `y`, which have a target, the part that loss and gradient depend on: what the model is given."""
        ...

    def score(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss over the targets (nats), and which of them the likeliest answer gets right (bool)."""
        ...


class Classification:
    """Cross-entropy of logits [n, classes] and classes `y` int64 [n]: a target an example."""

    def targets(self, y: Tensor) -> int:
        """See `Objective`."""
        return len(y)

    def narrowed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective`: all of it."""
        return x, y

    def score(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective`."""
        return F.cross_entropy(logits, y), logits.detach().argmax(dim=1) == y


class NextToken:
    """Cross-entropy of logits [n, T, vocabulary] and tokens `y` int64 [n, T]: those at t are predicted from all before
    it. A target is a token that is not IGNORED; the first one of an example is never predicted."""

    def targets(self, y: Tensor) -> int:
        """See `Objective`."""
        return int((y[:, 1:] != IGNORED).sum())

    def narrowed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective`: up to the last target, since the model is causal and padding on the right. Examples are
        padded to the longest of a share, pieces of a batch seldom have it."""
        width = int((y != IGNORED).any(dim=0).nonzero().max()) + 1
        return x[:, :width], y[:, :width]

    def score(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective`; the loss is taken in float32, and memory is that of the targets' logits."""
        wanted = y[:, 1:] != IGNORED
        said, right = logits[:, :-1][wanted].float(), y[:, 1:][wanted]
        return F.cross_entropy(said, right), said.detach().argmax(dim=1) == right


CLASSIFICATION: Objective = Classification()
NEXT_TOKEN: Objective = NextToken()


def pieces(x: Tensor, y: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """A batch in at most `count` pieces of about one size."""
    return list(zip(torch.chunk(x, count), torch.chunk(y, count), strict=True))
