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

    def score(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss over the targets (nats), and which of them the likeliest answer gets right (bool)."""
        ...


class Classification:
    """Cross-entropy of logits [n, classes] and classes `y` int64 [n]: a target an example."""

    def targets(self, y: Tensor) -> int:
        """See `Objective`."""
        return len(y)

    def score(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective`."""
        return F.cross_entropy(logits, y), logits.detach().argmax(dim=1) == y


class NextToken:
    """Cross-entropy of logits [n, T, vocabulary] and tokens `y` int64 [n, T]: those at t are predicted from all before
    it. A target is a token that is not IGNORED; the first one of an example is never predicted."""

    def targets(self, y: Tensor) -> int:
        """See `Objective`."""
        return int((y[:, 1:] != IGNORED).sum())

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
