"""From a round's updates of adapters to the next version, by the task's rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from federation.adapters import head_of
from federation.aggregation.blocks import Wide
from federation.aggregation.by_distance import alignments, by_distance
from federation.aggregation.contributions import Contribution, check_counts
from federation.aggregation.fold import Sum, check_sum, step_from
from federation.aggregation.lora.averaging import Averaged, apart, cut, stacked
from federation.aggregation.lora.effective import effective_gram
from federation.aggregation.lora.layers import AdapterUpdates
from federation.aggregation.methods import METHODS, Kind
from federation.aggregation.outcome import Aggregate, diagnoses
from federation.aggregation.server_optimizer import ServerOptimizer, State, take_step
from federation.aggregation.weighing import Weighing
from federation.aggregation.weighting import shares
from federation.model_spec import LoraSpec
from federation.spec import AggregationSpec

LORA_ERROR = "lora_error"
LORA_RANK = "lora_rank"
MOST_LAYERS = 100
"""An adapter of more layers has no metric for each: they would crowd out every other."""


def aggregate_adapters(
    spec: AggregationSpec,
    base: Path,
    ordered: Sequence[Contribution],
    adapters: LoraSpec,
    *,
    optimizer: ServerOptimizer | None = None,
    state: State | None = None,
    seed: int = 0,
) -> Aggregate:
    """The next version of the adapter in `base`. Weights go by effective updates, never by factors.

    Memory is a few layers of all updates, and the adapter. Layers are gone through twice: for distances, which norms
    and cosines come from under every rule, and for the mean; once more for distances if an update's terms cancel.

    Args:
        ordered: accepted updates, in (node_id, upload_id) order.
        optimizer: the server's, if the rule has one: it steps along the means of A and B.
        state: the optimiser's.
        seed: of bucketing's groups, and of the next fresh A under `lora_stack`.

    Refuses as `aggregate` does.
    """
    check_counts(ordered, spec)
    parts = np.array(shares([each.num_examples for each in ordered], spec.weighting_or_default))
    updates = AdapterUpdates(base, [each.path for each in ordered], rule=spec.rule, r=adapters.r)
    g, kind = effective_gram(updates, adapters.scaling), METHODS[spec.rule].kind
    found = by_distance(g, spec, seed, parts) if kind is Kind.DISTANCE else Weighing(parts)
    averaged = list(_averaged(spec.rule, kind, updates, found.weights, adapters.r, seed))
    made, moved = _factors(averaged), State()
    if _means_of_factors(spec.rule, kind):
        delta = _narrow(made | {name: mean for name, _, mean in _head(updates, found.weights)})
        if optimizer is not None:
            delta, moved = take_step(optimizer, delta, state or {})
        weights = step_from(base, delta)
    else:
        weights = _narrow(made | {name: head + mean for name, head, mean in _head(updates, found.weights)})
        for name, tensor in weights.items():
            check_sum(name, tensor)
    metrics = errors(averaged)
    if spec.rule == "lora_stack":
        metrics[LORA_RANK] = float(max(each.b.shape[1] for each in averaged) - adapters.r)
    told = diagnoses(ordered, alignments(g, found.weights), found.weights, found.scores, found.reasons)
    return Aggregate(weights, moved, told, metrics)


def errors(averaged: Sequence[Averaged]) -> dict[str, float]:
    """‖B A - M‖ / ‖M‖ over all layers, and in each, where there are not too many; M is the exact mean of products."""
    of = {LORA_ERROR: _relative([each.error for each in averaged], [each.length for each in averaged])}
    if len(averaged) <= MOST_LAYERS:
        of |= {f"{LORA_ERROR}.{each.pair.module}": _relative([each.error], [each.length]) for each in averaged}
    return {name: value for name, value in of.items() if math.isfinite(value)}


def _averaged(rule: str, kind: Kind, updates: AdapterUpdates, weights: Wide, r: int, seed: int) -> Iterator[Averaged]:
    heard = np.flatnonzero(weights)
    v = torch.from_numpy(weights[heard])
    for every in updates.layers():
        layers = every if len(heard) == len(weights) else every.only(torch.from_numpy(heard))
        if rule == "lora_stack":
            yield from stacked(layers, v, r, seed)
        elif _means_of_factors(rule, kind):
            yield from apart(layers, v)
        else:
            yield from cut(layers, v, r)


def _means_of_factors(rule: str, kind: Kind) -> bool:
    return kind in (Kind.MEAN, Kind.OPTIMIZER) or rule == "ffa"


def _head(updates: AdapterUpdates, weights: Wide) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """What is no factor, and its plain weighted mean delta, float64, by name."""
    layout = head_of(updates.layout)
    head = {name: np.empty(info.num_values) for name, info in layout.items()}
    mean = {name: np.empty(info.num_values) for name, info in layout.items()}
    for block, base in updates.head():
        part = slice(block.start, block.start + len(base))
        head[block.name][part], mean[block.name][part] = base, weights @ block.values
    for name, info in layout.items():
        yield name, torch.from_numpy(head[name]).view(info.shape), torch.from_numpy(mean[name]).view(info.shape)


def _factors(averaged: Iterable[Averaged]) -> Sum:
    found = [(each.pair.a, each.a) for each in averaged] + [(each.pair.b, each.b) for each in averaged]
    return dict(sorted(found))


def _narrow(tensors: Sum) -> Sum:
    return {name: tensor.float().contiguous() for name, tensor in tensors.items()}


def _relative(gaps: Sequence[float], lengths: Sequence[float]) -> float:
    gap, length = math.hypot(*gaps), math.hypot(*lengths)
    return gap / length if length > 0 else (math.inf if gap > 0 else 0.0)
