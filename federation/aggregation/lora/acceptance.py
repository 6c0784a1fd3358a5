"""Whether an update of adapters is as the task wants it, before it counts."""

from __future__ import annotations

import math
from pathlib import Path

from federation.adapters import pairs_of
from federation.aggregation.lora.effective import effective_gram
from federation.aggregation.lora.layers import AdapterUpdates
from federation.aggregation.methods import METHODS, Kind
from federation.errors import ErrorCode, Refused
from federation.layout import layout_of, shown
from federation.model_spec import LoraSpec
from federation.weights import DELTA, Tensors, load, squared_norm

_PROPORTION = 1e3
"""How far a factor may move in a round, in units of 1 + its own norm.

Training stays a hundred times below: a fresh A of rank r has a norm of √(r/3), and both factors move by a few units,
even at learning rates that spoil the model. What passes has products of factors of up to about 1e7, which float64
tells apart to about 1e-9: nothing larger can hide behind terms that cancel, neither from norms and distances nor from
the mean."""


def check_adapter_update(
    path: Path, base: Path, adapters: LoraSpec, *, rule: str, max_norm: float | None = None
) -> float:
    """The L2 norm of an update's effective change of the model, once everything is in order.

    It is the norm of scaling · [(B + ΔB)(A + ΔA) - B A] over all layers, together with the head's delta, and not that
    of the factors' deltas: factors can be scaled against each other without changing the model, so a bound on them
    would not bound the change. It is what rules take distances from, too.

    Args:
        path: the update file.
        base: the file of the version that it was trained from.
        adapters, rule: of the task.
        max_norm: the largest norm allowed; None for no bound. Under a rule that averages A and B apart it bounds the L2
            norm of all deltas, too: a mean of factors takes over what a product with zero hides.

    Refuses (bad_update) what `rank_of_update` does, values that are not finite, a factor that moved out of all
    proportion, and a norm above the bound. Memory is a few layers.
    """
    updates = AdapterUpdates(base, [path], rule=rule, r=adapters.r)
    factors = _squares_in_proportion(load(path), load(base))
    norm = math.sqrt(max(0.0, float(effective_gram(updates, adapters.scaling)[0, 0])))
    _check_bound(norm, "the update's effective change", max_norm)
    if METHODS[rule].kind in (Kind.MEAN, Kind.OPTIMIZER):
        _check_bound(math.sqrt(factors), f"the update's tensors, which {rule} averages", max_norm)
    return norm


def _squares_in_proportion(update: Tensors, version: Tensors) -> float:
    """The squared L2 norm of all deltas together."""
    squares = {name: squared_norm(tensor) for name, tensor in sorted(update.items())}
    for name, square in squares.items():
        if not math.isfinite(square):
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"tensor {shown(name)} holds NaN or infinite values.",
                "lower the learning rate or clip gradients, train again from the global model and send the new update",
            )
    for pair in pairs_of(layout_of(version)):
        for name in (pair.a, pair.b):
            moved, most = math.sqrt(squares.get(DELTA + name, 0.0)), 1 + math.sqrt(squared_norm(version[name]))
            if not moved <= _PROPORTION * most:
                raise Refused(
                    ErrorCode.BAD_UPDATE,
                    f"tensor {shown(DELTA + name)} has the L2 norm {moved:.4g}; a factor may move by "
                    f"{_PROPORTION:g} · (1 + its own norm) = {_PROPORTION * most:.4g} in a round, whatever the bound.",
                    "training has diverged: lower the learning rate or clip gradients, and train again from the global "
                    "model",
                )
    return sum(squares.values())


def _check_bound(norm: float, whose: str, bound: float | None) -> None:
    if bound is not None and not norm <= bound:
        raise Refused(
            ErrorCode.BAD_UPDATE,
            f"the L2 norm of {whose}, {norm:.6g}, exceeds the task's bound {bound:.6g}.",
            "train fewer steps or with a lower learning rate",
        )
