"""Who contributes to a round, with what, and how far the counts that come with an update are believed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from federation.aggregation.weighting import shares
from federation.errors import ErrorCode, Refused
from federation.spec import AggregationSpec, TrainingSpec


@dataclass(frozen=True)
class Contribution:
    """An accepted update: whose it is, the checked file of `delta/<name>` tensors, and the counts that weigh it."""

    node_id: str
    upload_id: str
    path: Path
    num_examples: int
    num_steps: int


@dataclass(frozen=True)
class Claim:
    """A contribution without its tensors: whose it is, and the counts that weigh it."""

    node_id: str
    upload_id: str
    num_examples: int
    num_steps: int


Claimed = Claim | Contribution
_C = TypeVar("_C", Claim, Contribution, Claimed)


def in_order(contributions: Iterable[_C]) -> list[_C]:
    """By (node_id, upload_id), the order in which updates are summed."""
    ordered = sorted(contributions, key=_identity)
    for one, other in pairwise(ordered):
        if _identity(one) == _identity(other):
            raise ValueError(f"update {one.upload_id} of {one.node_id} is given twice")
    return ordered


def check_counts(ordered: Sequence[Claimed], spec: AggregationSpec) -> None:
    """Refuses (bad_count) numbers of examples that are none, or above the task's bound."""
    shares([each.num_examples for each in ordered], "uniform")  # for its refusals
    for each in ordered:
        if each.num_examples > spec.max_examples:
            raise Refused(
                ErrorCode.BAD_COUNT,
                f"{each.node_id} claims {each.num_examples} examples, above {spec.max_examples}.",
                "raise aggregation.max_examples if the count is true, or leave the update out",
            )


def _identity(contribution: Claimed) -> tuple[str, str]:
    return contribution.node_id, contribution.upload_id


def believed_steps(ordered: Sequence[Claimed], training: TrainingSpec, *, capped: bool) -> list[int]:
    """The local steps of each update, as far as they are believed: a node that claims more than its examples take
    would stretch the steps of all others. With `capped`, no more than the median."""
    believed = []
    for each in ordered:
        if type(each.num_steps) is not int or each.num_steps < 1:
            raise Refused(
                ErrorCode.BAD_COUNT,
                f"{each.node_id} claims {each.num_steps!r} steps; FedNova needs a whole number of at least 1.",
                "submit the number of optimiser steps that were taken",
            )
        most = training.epochs * math.ceil(each.num_examples / training.batch_size)
        believed.append(min(each.num_steps, most, training.max_steps or most))
    cap = statistics.median_low(believed)
    return [min(steps, cap) for steps in believed] if capped else believed
