"""SCAFFOLD: Karimireddy et al. 2020, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML,
arXiv:1910.06378, Algorithm 1 with option II for the control variates.

    node:    y <- y - η (g(y) - c_i + c), K times from y = x
             c_i⁺ = c_i - c + (x - y) / (K η)
    server:  x <- x + η_g Σ p_i Δ_i,   c <- c + 1/N Σ Δc_i     with Δ_i = y - x, Δc_i = c_i⁺ - c_i

g is the gradient of all that a node descends, weight decay included: c_i⁺ is then the mean of these g over the local
steps. What is not trained (buffers, frozen weights) has zeros for a control variate, and no correction.

Under option II Δc_i = -c - Δ_i / (K η), whatever c_i was. So a server can tell whether a node's Δc_i is what its Δ_i
makes of it, and the bound on Δ_i bounds Δc_i.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Protocol

import torch

from federation.aggregation.files import FileUpdates
from federation.aggregation.fold import Sum
from federation.aggregation.pieces import Piece, in_files
from federation.aggregation.server_optimizer import State
from federation.errors import ErrorCode, Refused
from federation.layout import Layout, TensorInfo, layout_of, shown
from federation.weights import AUX, DELTA, Tensors, aux_layout, check_model, prefixed

CONTROL = "c/"
CLIENTS = "clients"
"""The server's state: c as `c/<name>`, float32; and N, for how many clients it is the mean (int64, a scalar)."""

_TOLERANCE = 1e-5
"""How far Δc_i may be from what Δ_i makes of it, as a share of the lengths that go into it: rounding is far below."""

_TINY = 1e-30
"""How far it may be in any case: near the smallest numbers of float32 rounding is no small share of them."""


class Summed(Protocol):
    """The changes of a round's control variates, in the order of its updates."""

    def weighted_sum(self, weights: Sequence[float]) -> Sum:
        """sum_i weights[i] * Δc_i, by the model's names."""
        ...


def control_of(state: Tensors, model: Layout) -> dict[str, torch.Tensor]:
    """c by the model's names, float32, from the server's state; zeros before the first round.

    Refuses (bad_update) a state of another model.
    """
    if not state:
        return {name: torch.zeros(info.shape) for name, info in model.items()}
    if layout_of(state) != _state_layout(model):
        raise Refused(
            ErrorCode.BAD_UPDATE,
            "the control variate has other tensors than the model.",
            f"it holds {CONTROL}<name> for every tensor of the model, in its shape and in float32, and {CLIENTS}",
        )
    return {name: state[CONTROL + name] for name in model}


def change(
    delta: Tensors, c: Tensors, *, steps: int, learning_rate: float, trained: Collection[str]
) -> dict[str, torch.Tensor]:
    """Δc_i = -c - Δ_i / (K η), float32, by the model's names.

    Args:
        delta: as it is sent, in the model's dtypes.
        c: the server's control variate that the node trained with.
        steps: K, those that were taken.
        trained: names of the tensors that steps change; the others get zeros.
    """
    scale = -1.0 / (steps * learning_rate)
    return {
        name: tensor.detach().to(torch.float32).mul(scale).sub_(c[name])
        if name in trained
        else torch.zeros_like(c[name])
        for name, tensor in delta.items()
    }


def check_change(
    path: Path,
    model: Layout,
    control: Path | None,
    *,
    steps: int,
    learning_rate: float,
    trained: Collection[str],
) -> None:
    """Refuses (bad_update) an update file whose `aux/` is not the Δc_i of its `delta/`.

    A trained tensor's has to be -c - Δ_i / (K η), but for a hundred-thousandth of |c| + |Δ_i| / (K η); another's is
    zero. Memory is three pieces, whatever the model.

    Args:
        control: the server's state that the node trained with; None: there was none, c is zero.
        trained: names of the tensors that steps change.
    """
    aux, scale = aux_layout(model), -1.0 / (steps * learning_rate)
    (changes,) = in_files([path], aux, prefix=AUX, beside=prefixed(model, DELTA))
    (deltas,) = in_files([path], model, beside=prefixed(aux, AUX))
    c: Iterable[Piece | None] = repeat(None)
    if control is not None:
        (c,) = in_files([control], aux, prefix=CONTROL, beside=_CLIENTS)
    squares: dict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
    for found, delta, before in zip(changes, deltas, c, strict=False):
        wanted, given = delta.values.double().mul_(scale), found.values.double()
        own = squares[found.name]
        own[0] += float(given.dot(given))
        own[1] += float(wanted.dot(wanted))
        if before is not None:
            past = before.values.double()
            own[2] += float(past.dot(past))
            wanted.sub_(past)
        wanted.sub_(given)
        own[3] += float(wanted.dot(wanted))
    for name, (given_, moved, past_, off) in squares.items():
        if name not in trained:
            if given_:
                raise Refused(
                    ErrorCode.BAD_UPDATE,
                    f"tensor {shown(AUX + name)} is not zero, but steps do not train {shown(name)}.",
                    "send zeros for buffers and frozen weights: they have no control variate",
                )
        elif not math.sqrt(off) <= _TOLERANCE * (math.sqrt(moved) + math.sqrt(past_)) + _TINY:
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"tensor {shown(AUX + name)} is not the change of a control variate that {shown(DELTA + name)} makes.",
                f"send -c - delta / (num_steps × learning_rate), with num_steps = {steps} as submitted, "
                f"learning_rate = {learning_rate:g} and the assignment's c (option II of SCAFFOLD)",
            )


def next_state(state: State, changes: Summed, count: int, clients: int) -> State:
    """The server's state after a round.

    Args:
        state: of the version that the round started from; empty: c is zero.
        count: updates in the round.
        clients: N. Where it has grown since, c is first brought to the new N: who has just come has c_i = 0.

    Refuses (bad_update) a c that is not finite: no later round would mend it.
    """
    if clients < count:
        raise ValueError(f"{count} updates of {clients} clients")
    before = int(state[CLIENTS]) if state else clients
    moved: State = {}
    for name, total in changes.weighted_sum([1 / clients] * count).items():
        c = state.get(CONTROL + name)
        if c is not None:
            total.add_(c if before == clients else c * (before / clients))
        if not bool(total.isfinite().all()):
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"the control variate of tensor {shown(name)} is not finite; it stays as it was.",
                "bound the updates with aggregation.max_update_norm, or train with a lower learning rate",
            )
        moved[CONTROL + name] = total
    return moved | {CLIENTS: torch.tensor(clients)}


def two_sets(paths: Sequence[Path], model: Layout) -> tuple[FileUpdates, FileUpdates]:
    """The updates in files, and the changes of the control variates in the same files: to be folded one after the
    other."""
    check_model(model)
    aux = aux_layout(model)
    deltas = FileUpdates(paths, model, beside=prefixed(aux, AUX))
    return deltas, FileUpdates(paths, aux, prefix=AUX, beside=prefixed(model, DELTA))


_CLIENTS: Layout = {CLIENTS: TensorInfo("I64", ())}


def _state_layout(model: Layout) -> Layout:
    return prefixed(aux_layout(model), CONTROL) | _CLIENTS
