"""Scores as rows of `metrics`: the server's own, and the mean of what the nodes measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from federation.evaluation import Evaluation

_WEIGHTS = {"eval_accuracy": "eval_examples", "eval_loss": "eval_examples", "train_accuracy": None, "train_loss": None}


def server_scores(evaluation: Evaluation) -> dict[str, float]:
    """A score by name; a loss that is not finite is no number to keep."""
    values = {"accuracy": evaluation.accuracy, "loss": evaluation.loss, "examples": float(evaluation.num_examples)}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def node_means(rows: Sequence[Mapping[Any, Any]], most_examples: int) -> dict[str, float]:
    """What the nodes measured on the model that they received, averaged over the updates in `rows`.

    Scores weigh by held-out examples, training metrics by examples trained on. A node that claims more held-out
    examples than `most_examples` weighs as if it had that many.
    """
    means: dict[str, float] = {}
    for name, weight in _WEIGHTS.items():
        pairs = []
        for row in rows:
            measured = row["metrics"]
            share = measured.get(weight, 0.0) if weight else row["num_examples"]
            if name in measured and share > 0:
                pairs.append((measured[name], min(share, most_examples)))
        total = sum(share for _, share in pairs)
        if total:
            means[name] = sum(value * (share / total) for value, share in pairs)
    return {name: value for name, value in means.items() if math.isfinite(value)}
