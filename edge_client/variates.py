"""A node's control variate for SCAFFOLD, c_i: kept from round to round, for nobody else has it.

It is a file `variate-<round>` for each round, written before that round's update is brought, and bound to it by its
SHA-256. Which of them counts is the server's to say, with each assignment: that of the last update which is in its c.
So a variate counts from the moment that its update does, whatever ends this process in between; it is never moved
twice for one round; and what a void round or a roll-back takes back is taken back here as well. Two are kept: the one
that counts, and the one of the round at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from edge_client.state_folder import VARIATE, StateFolder
from federation.aggregation.scaffold import control_of
from federation.errors import Refused
from federation.fault_points import reach
from federation.weights import Layout, Tensors, aux_layout, chunks, layout_of, load, load_bytes

LOST = "variate_lost"
"""The metric that tells the server of a variate that it counts on and this node does not have."""


@dataclass(frozen=True)
class Kept:
    """A variate and what it is of: the round, and the SHA-256 of that round's update."""

    round: int
    update: str
    variate: Tensors


@dataclass(frozen=True)
class Control:
    """What a round's training is corrected by: the server's c and this node's c_i, by the model's names.

    Attributes:
        lost: the server counts on a variate that is not here. Its place is taken by c, so that nothing is corrected:
            c is what is known of all the c_i, their mean, and whoever puts it in place of a random one of them leaves
            c right on average. Zero would be a correction by c, and leave c wrong by a part of itself.
    """

    c: Tensors
    own: Tensors
    lost: bool

    @property
    def correction(self) -> dict[str, Tensor]:
        """c - c_i."""
        return {name: tensor - self.own[name] for name, tensor in self.c.items()}

    def moved(self, change: Tensors) -> dict[str, Tensor]:
        """c_i⁺ = c_i + Δc_i, just what the server adds up."""
        return {name: tensor + change[name] for name, tensor in self.own.items()}


@dataclass(frozen=True)
class AtHand:
    """The variates as one round's training needs them.

    Attributes:
        told: the assignment's `model.control`.
        file: the server's state, downloaded; None where there is none, in the first round say.
    """

    variates: Variates
    round: int
    told: Mapping[str, Any]
    file: Path | None

    def control(self, model: Layout) -> Control:
        """See `Variates.control`."""
        return self.variates.control(self.told, self.file, model)

    def keep(self, update: str, variate: Tensors) -> None:
        """See `Variates.keep`; `update` is the SHA-256 of the round's."""
        self.variates.keep(Kept(self.round, update, variate), self.told)


class Variates:
    """Those of one node in one task.

    Args:
        state: the folder for them. What it does not take is kept in memory, for as long as this process lives.
    """

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._held: Kept | None = None

    def control(self, told: Mapping[str, Any], file: Path | None, model: Layout) -> Control:
        """What the round is to be trained with.

        Args:
            told: the assignment's `model.control`.
            file: the server's state, downloaded; None where there is none, in the first round say.
            model: layout of the global model.

        Raises:
            Refused: the server's state is of another model.
        """
        c = control_of(load(file) if file is not None else {}, model)
        counted = told.get("counted")
        if counted is None:  # nothing of this node is in c
            return Control(c, {name: tensor.new_zeros(tensor.shape) for name, tensor in c.items()}, lost=False)
        own = self._find(int(counted["round"]), str(counted["sha256"]), model)
        if own is not None:
            return Control(c, own, lost=False)
        self._state.on_trouble(
            f"this node's control variate, of round {counted['round']}, is lost: it goes on from the mean of all, and "
            "says so to the server"
        )
        return Control(c, c, lost=True)

    def keep(self, kept: Kept, told: Mapping[str, Any]) -> None:
        """Put the variate of the round at hand on disk, beside the one that counts, and remove all others."""
        counted = told.get("counted") or {"round": 0}
        name = f"{VARIATE}{kept.round}"
        facts = {"round": kept.round, "update": kept.update}
        self._held = None if self._state.write(name, facts, chunks(kept.variate)) else kept
        for path in self._state.path.glob(f"{VARIATE}*"):
            if path.name not in (name, f"{VARIATE}{counted['round']}"):
                self._state.remove(path.name)
        reach("node_variate_stored")

    def _find(self, number: int, update: str, model: Layout) -> Tensors | None:
        if self._held is not None and (self._held.round, self._held.update) == (number, update):
            return self._held.variate
        name = f"{VARIATE}{number}"
        found = self._state.read(name, {"round": number, "update": update})
        if found is None:
            return None
        try:
            variate = load_bytes(found[1])
        except Refused as refused:
            self._state.refuse(name, refused.problem)
            return None
        if layout_of(variate) != aux_layout(model):
            self._state.refuse(name, "it is of another model")
            return None
        return variate
