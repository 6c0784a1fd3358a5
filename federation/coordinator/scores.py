"""Scores as rows of `metrics`: the server's own, the mean of what the nodes measured, and how far the model moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from federation.aggregation.lora import effective
from federation.aggregation.weighting import shares
from federation.convergence import agreement, distance
from federation.evaluation import Evaluation, perplexity_of
from federation.spec import TaskSpec
from federation.weights import load

BY_CLASS = "accuracy.class_"
MOST_CLASSES = 100
"""A data set with more classes keeps no accuracy for each: they would crowd out every other metric."""

_PLAIN_MEANS = ("fedavg", "fedprox")
_MEANS_OF_PRODUCTS = ("lora_stack", "ffa")
_WEIGHTS = {"eval_accuracy": "eval_examples", "eval_loss": "eval_examples", "train_accuracy": None, "train_loss": None}


def server_scores(evaluation: Evaluation) -> dict[str, float]:
    """A score by name; a loss that is not finite is no number to keep. By class as well, if they are not too many."""
    said = {
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
        "perplexity": evaluation.perplexity,
        "token_accuracy": evaluation.token_accuracy,
        "examples": float(evaluation.num_examples),
    }
    values = {name: value for name, value in said.items() if value is not None}
    by_class = evaluation.per_class_accuracy
    if len(by_class) <= MOST_CLASSES:
        values |= {f"{BY_CLASS}{c}": value for c, value in enumerate(by_class) if value is not None}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def movement(
    spec: TaskSpec, new: Mapping[str, torch.Tensor], base: Path, rows: Sequence[Mapping[Any, Any]]
) -> dict[str, float]:
    """How far the round moved the model in `base`, and how far the updates in `rows` did.

    `step_norm` is the distance between the two versions, `mean_update_norm` the updates' norms averaged by weight, and
    `update_agreement`, only where the step is the updates' plain mean, the one over the other: low is drift. Of an
    adapter all of them are effective: of the layers' changes, never of factors.
    """
    aggregation, norms = spec.aggregation, [float(row["norm"]) for row in rows]
    if spec.model.pretrained:
        step, means = effective.distance(new, load(base), spec.model.adapters.scaling), _MEANS_OF_PRODUCTS
    else:
        step, means = distance(new, load(base)), _PLAIN_MEANS
    weights = shares([row["num_examples"] for row in rows], aggregation.weighting_or_default)
    values = {"step_norm": step, "mean_update_norm": sum(w * norm for w, norm in zip(weights, norms, strict=True))}
    if aggregation.rule in means and (agreed := agreement(step, norms, weights)) is not None:
        values["update_agreement"] = agreed
    return {name: value for name, value in values.items() if math.isfinite(value)}


def node_means(rows: Sequence[Mapping[Any, Any]], most_examples: int, *, perplexity: bool = False) -> dict[str, float]:
    """What the nodes measured on the model that they received, averaged over the updates in `rows`.

    Scores weigh by held-out examples, training metrics by examples trained on. A node that claims more held-out
    examples than `most_examples` weighs as if it had that many. Of a model that writes also the `perplexity`, exp of
    the mean loss.
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
    if perplexity and "eval_loss" in means:
        means["eval_perplexity"] = perplexity_of(means["eval_loss"])
    return {name: value for name, value in means.items() if math.isfinite(value)}
