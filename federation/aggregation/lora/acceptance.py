"""Whether an update of adapters is as the task wants it, before it counts."""

from __future__ import annotations

import math
from pathlib import Path

from federation.aggregation.lora.effective import effective_gram
from federation.aggregation.lora.layers import AdapterUpdates
from federation.errors import ErrorCode, Refused
from federation.layout import shown
from federation.model_spec import LoraSpec
from federation.weights import load, squared_norm


def check_adapter_update(
    path: Path, base: Path, adapters: LoraSpec, *, rule: str, max_norm: float | None = None
) -> float:
    """The L2 norm of an update's effective change of the model, once everything is in order.

    It is the norm of scaling · [(B + ΔB)(A + ΔA) - B A] over all layers, together with the head's delta, and not that
    of the factors' deltas: factors can be scaled against each other without changing the model, so a bound on them
    would bound nothing. It is what rules take distances from, too.

    Args:
        path: the update file.
        base: the file of the version that it was trained from.
        adapters, rule: of the task.
        max_norm: the largest norm allowed; None for no bound.

    Refuses (bad_update) what `rank_of_update` does, values that are not finite, and a norm above the bound. Memory is
    a few layers.
    """
    updates = AdapterUpdates(base, [path], rule=rule, r=adapters.r)
    for name, tensor in sorted(load(path).items()):
        if not math.isfinite(squared_norm(tensor)):
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"tensor {shown(name)} holds NaN or infinite values.",
                "lower the learning rate or clip gradients, train again from the global model and send the new update",
            )
    norm = math.sqrt(max(0.0, float(effective_gram(updates, adapters.scaling)[0, 0])))
    if max_norm is not None and not norm <= max_norm:
        raise Refused(
            ErrorCode.BAD_UPDATE,
            f"the L2 norm of the update's effective change, {norm:.6g}, exceeds the task's bound {max_norm:.6g}.",
            "train fewer steps or with a lower learning rate",
        )
    return norm
