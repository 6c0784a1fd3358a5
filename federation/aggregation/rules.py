"""From a round's updates to the next global model, by the task's rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from federation.aggregation import fedavg
from federation.aggregation.fold import fold
from federation.errors import ErrorCode, Refused
from federation.spec import AggregationSpec


@dataclass(frozen=True)
class Contribution:
    """An accepted update: whose it is, the checked file of `delta/<name>` tensors, and the counts that weigh it."""

    node_id: str
    upload_id: str
    path: Path
    num_examples: int
    num_steps: int


def aggregate(spec: AggregationSpec, base: Path, contributions: Iterable[Contribution]) -> dict[str, torch.Tensor]:
    """The next global model from the one in `base` and the updates that a round has accepted.

    Floating-point sums depend on their order, so updates are taken in (node_id, upload_id) order: the same updates
    give the same bits, whatever order they arrived in.
    """
    ordered = sorted(contributions, key=_identity)
    for one, other in pairwise(ordered):
        if _identity(one) == _identity(other):
            raise ValueError(f"update {one.upload_id} of {one.node_id} is given twice")
    counts = [contribution.num_examples for contribution in ordered]
    for contribution in ordered:
        if contribution.num_examples > spec.max_examples:
            raise Refused(
                ErrorCode.BAD_COUNT,
                f"{contribution.node_id} claims {contribution.num_examples} examples, above {spec.max_examples}.",
                "raise aggregation.max_examples if the count is true, or leave the update out",
            )
    match spec.rule:
        case "fedavg":
            weights = fedavg.weights(counts, uniform=spec.weighting == "uniform")
    return fold(base, [contribution.path for contribution in ordered], weights)


def _identity(contribution: Contribution) -> tuple[str, str]:
    return contribution.node_id, contribution.upload_id
