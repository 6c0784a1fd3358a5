"""What a cut of the training set looks like: how many examples, and of which classes, each share holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from federation.errors import Refused
from federation.partition import label_counts
from federation.spec import TaskSpec
from resources.datasets import named
from resources.datasets.shares import cut

MOST_SHARES = 100
_MOST_COUNTS = 1000
"""Shares times classes, so that an answer with all of them stays at a few kilobytes."""


@dataclass(frozen=True)
class Skew:
    """The first shares of a cut.

    Attributes:
        parts: all shares that there are.
        examples: of each of the first `MOST_SHARES` shares, before a node holds any out.
        labels: of each of them, examples by class; None for texts, and where they would be too many numbers.
        classes: names by label.
    """

    parts: int
    examples: list[int]
    labels: list[list[int]] | None
    classes: list[str] | None


def skew(spec: TaskSpec, *, folder: Path | None = None) -> Skew | None:
    """The cut that every node of the task would compute; None where the data set is not on this machine, and where it
    cannot be cut."""
    if spec.data.id == "own":
        return None
    try:
        if not named.present(spec, "train", folder=folder):
            return None
        shares = cut(spec, folder=folder)[:MOST_SHARES]
        card = None if spec.model.pretrained else named.image_card(spec)
    except Refused:
        return None
    examples = [len(share) for share in shares]
    if card is None or len(shares) * card.num_classes > _MOST_COUNTS:
        return Skew(spec.data.partition.parts, examples, None, None)
    counts = label_counts(named.labels(spec, "train", folder=folder), shares)
    return Skew(spec.data.partition.parts, examples, counts.tolist(), list(card.class_names))
