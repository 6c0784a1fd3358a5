"""What a rule makes of a round: the next model, and a diagnosis of each update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from federation.aggregation.blocks import Wide
from federation.aggregation.contributions import Claimed
from federation.aggregation.fold import Alignment, Sum
from federation.aggregation.server_optimizer import State


@dataclass(frozen=True)
class Diagnosis:
    """What a rule made of one update.

    Attributes:
        norm: L2 norm of the delta; of an adapter's, that of its effective update.
        cosine: to the delta that the rule came to.
        weight: its factor in that delta; None where coordinates were judged one by one.
        score: the rule's own number, larger meaning stranger; None where it has none, or judged mixtures.
        reason: "", "excluded: …" or "clipped: …".
    """

    upload_id: str
    norm: float
    cosine: float
    weight: float | None
    score: float | None
    reason: str


@dataclass(frozen=True)
class Aggregate:
    """The next model's tensors, the state of the server's that belongs to them (an optimiser's, or SCAFFOLD's c), a
    diagnosis of each update, and what the rule measured of itself, by the metric's name."""

    weights: Sum
    state: State
    diagnoses: list[Diagnosis]
    metrics: dict[str, float] = field(default_factory=dict)


def diagnoses(
    ordered: Sequence[Claimed],
    alignments: Sequence[Alignment],
    weights: Wide | None,
    scores: Wide | None = None,
    reasons: dict[int, str] | None = None,
) -> list[Diagnosis]:
    """One for each update, in order; `reasons` are by its place."""
    return [
        Diagnosis(
            upload_id=each.upload_id,
            norm=aligned.norm,
            cosine=aligned.cosine,
            weight=None if weights is None else float(weights[row]),
            score=None if scores is None else float(scores[row]),
            reason=(reasons or {}).get(row, ""),
        )
        for row, (each, aligned) in enumerate(zip(ordered, alignments, strict=True))
    ]
