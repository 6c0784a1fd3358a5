"""From a round's updates to the next global model, by the task's rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from federation.aggregation import bulyan, fednova, scaffold
from federation.aggregation.across import Reduce, reduce_across, sum_across
from federation.aggregation.blocks import Updates, Wide
from federation.aggregation.by_distance import alignments, by_distance, mixture, unheard
from federation.aggregation.contributions import Claimed, Contribution, believed_steps, check_counts, in_order
from federation.aggregation.fedadagrad import FedAdagrad
from federation.aggregation.fedadam import FedAdam
from federation.aggregation.fedavgm import FedAvgM
from federation.aggregation.fedyogi import FedYogi
from federation.aggregation.files import FileUpdates
from federation.aggregation.fold import Alignment, Sum, step_from
from federation.aggregation.gram import gram
from federation.aggregation.lora.rounds import aggregate_adapters
from federation.aggregation.median import median
from federation.aggregation.methods import METHODS, Kind, Method, options_of
from federation.aggregation.outcome import Aggregate, diagnoses
from federation.aggregation.scaffold import Summed
from federation.aggregation.server_optimizer import ServerOptimizer, State, take_step
from federation.aggregation.trimmed_mean import trimmed_mean
from federation.aggregation.weighing import Weighing
from federation.aggregation.weighting import shares
from federation.layout import read_layout
from federation.model_spec import LoraSpec
from federation.spec import AggregationSpec, TrainingSpec
from federation.weights import Tensors

_OPTIMIZERS: dict[str, Callable[..., ServerOptimizer]] = {
    "fedavgm": FedAvgM,
    "fedadagrad": FedAdagrad,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
}


@dataclass(frozen=True)
class _Direction:
    """Where a rule points, before the server takes its step."""

    delta: Sum
    alignments: Sequence[Alignment]
    weights: Wide | None
    scores: Wide | None = None
    reasons: dict[int, str] | None = None


def aggregate(
    spec: AggregationSpec,
    base: Path,
    contributions: Iterable[Contribution],
    *,
    training: TrainingSpec | None = None,
    state: State | None = None,
    seed: int = 0,
    clients: int | None = None,
    adapters: LoraSpec | None = None,
) -> Aggregate:
    """The next global model from the one in `base` and the updates that a round has accepted.

    Floating-point sums depend on their order, so updates are taken in (node_id, upload_id) order: the same updates
    give the same bits, whatever order they arrived in. Memory is the model and one block, whatever their number.

    Args:
        training: how the nodes trained; FedNova needs it.
        state: the server's, of the version in `base`.
        seed: of bucketing's groups, and of `lora_stack`'s next A.
        clients: of the whole federation; SCAFFOLD needs it.
        adapters: of a pretrained model: `base` and updates then hold factors, and count by their products.

    Refuses (bad_count) counts above the task's bound, (quorum_missed) fewer updates than the rule needs, (bad_update)
    a result that is not finite.
    """
    ordered = in_order(contributions)
    if adapters is not None:
        return aggregate_adapters(spec, base, ordered, adapters, optimizer=_optimizer(spec), state=state, seed=seed)
    paths, layout, changes = [each.path for each in ordered], read_layout(base), None
    if spec.control_variates:
        updates, changes = scaffold.two_sets(paths, layout)
    else:
        updates = FileUpdates(paths, layout)
    return aggregate_updates(
        spec,
        base,
        ordered,
        updates,
        training=training,
        state=state,
        seed=seed,
        changes=changes,
        clients=clients,
    )


def aggregate_updates(
    spec: AggregationSpec,
    base: Tensors | Path,
    claims: Sequence[Claimed],
    updates: Updates,
    *,
    training: TrainingSpec | None = None,
    state: State | None = None,
    seed: int = 0,
    changes: Summed | None = None,
    clients: int | None = None,
) -> Aggregate:
    """As `aggregate`, for updates wherever they are, to the same bits.

    Args:
        base: the global model, or its file; it is left as it is.
        claims: one for each of `updates`, in (node_id, upload_id) order.
        changes: of the control variates, one for each of `updates`; SCAFFOLD needs them.
    """
    if in_order(claims) != list(claims) or len(claims) != len(updates):
        raise ValueError("claims are to be in (node_id, upload_id) order, one for each update")
    check_counts(claims, spec)
    method, options = METHODS[spec.rule], options_of(spec.rule, spec.options)
    if method.kind is Kind.ADAPTER:
        raise ValueError(f"{spec.rule} asks for the adapters' scaling, and for factors in files")
    if method.kind is Kind.COORDINATE:
        direction = _across(method, options, updates, spec, seed)
    elif method.kind is Kind.DISTANCE:
        parts = np.array(shares([each.num_examples for each in claims], spec.weighting_or_default))
        direction = _by_distance(updates, spec, seed, parts)
    else:
        weights = _mean_weights(spec, claims, options, training)
        total = sum_across(updates, weights)
        direction = _Direction(total.delta, total.alignments, np.array(weights))
    delta, moved = direction.delta, State()
    if (optimizer := _optimizer(spec)) is not None:
        delta, moved = take_step(optimizer, delta, state or {})
    elif spec.control_variates:
        if changes is None or clients is None:
            raise ValueError("SCAFFOLD asks for the control variates' changes, and how many clients there are")
        delta = {name: tensor.mul_(options.eta) for name, tensor in delta.items()}
        moved = scaffold.next_state(state or {}, changes, len(claims), clients)
    found = diagnoses(claims, direction.alignments, direction.weights, direction.scores, direction.reasons)
    return Aggregate(step_from(base, delta), moved, found)


def _optimizer(spec: AggregationSpec) -> ServerOptimizer | None:
    """The server's, with the task's options, if the rule has one."""
    made = _OPTIMIZERS.get(spec.rule)
    return None if made is None else made(**options_of(spec.rule, spec.options).model_dump())


def _mean_weights(
    spec: AggregationSpec, ordered: Sequence[Claimed], options: Any, training: TrainingSpec | None
) -> list[float]:
    parts = shares([each.num_examples for each in ordered], spec.weighting_or_default)
    if spec.rule != "fednova":
        return parts
    if training is None:
        raise ValueError("FedNova asks how the nodes trained")
    proximal = options.mu * training.learning_rate
    ways = [
        fednova.way(steps, momentum=training.momentum, proximal=proximal)
        for steps in believed_steps(ordered, training, capped=spec.weighting_or_default == "capped")
    ]
    return fednova.weights(parts, ways)


def _by_distance(updates: Updates, spec: AggregationSpec, seed: int, parts: Wide) -> _Direction:
    g = gram(updates)
    found = by_distance(g, spec, seed, parts)
    delta = updates.weighted_sum(found.weights.tolist())
    return _Direction(delta, alignments(g, found.weights), found.weights, found.scores, found.reasons)


def _across(method: Method, options: Any, updates: Updates, spec: AggregationSpec, seed: int) -> _Direction:
    g = gram(updates) if method.name == "bulyan" or spec.mixing == "nnm" else None
    matrix, f = mixture(method, options, len(updates), spec, seed, g)
    reduce: Reduce
    selected: Weighing | None = None
    match method.name:
        case "median":
            reduce = median
        case "trimmed_mean":
            count = len(updates) if matrix is None else len(matrix)
            reduce = partial(trimmed_mean, beta=_beta(options, f, count))
        case _:
            assert g is not None  # noqa: S101 - Bulyan was given one above
            selected = bulyan.select(g if matrix is None else matrix @ g @ matrix.T, f)
            rows = np.flatnonzero(selected.weights)
            matrix = (np.eye(len(updates)) if matrix is None else matrix)[rows]
            reduce = partial(bulyan.mean_around_median, f=f)
    across = reduce_across(updates, reduce, matrix)
    if selected is None or matrix is None:
        return _Direction(across.delta, across.alignments, None)
    if spec.mixing != "none":
        return _Direction(across.delta, across.alignments, None, reasons=unheard(np.asarray(matrix.any(axis=0))))
    return _Direction(across.delta, across.alignments, None, selected.scores, selected.reasons)


def _beta(options: Any, f: int, n: int) -> float:
    """The share to trim: as asked, or just what f Byzantine values need."""
    return f / n if options.beta is None else float(options.beta)
