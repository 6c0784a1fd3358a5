"""A simulation as its user sees it: a round that is over, where the next one starts, how far the present one is."""

from __future__ import annotations

from dataclasses import dataclass, field

from federation.aggregation.outcome import Diagnosis
from federation.aggregation.server_optimizer import State
from federation.simulation.delivered import Delivered, History
from federation.weights import Tensors


@dataclass(frozen=True)
class SimulatedRound:
    """One round.

    Attributes:
        void: too few updates were within `aggregation.max_update_norm`; the model stayed as it was.
        loss, accuracy, per_class_accuracy: of the new model on the test examples; None when it was not scored.
        train_loss, train_accuracy: the clients' own, weighted by examples, each over its last epoch.
        backdoor: share of patched test images that the model takes for the attackers' class.
        seconds: of the whole round, scoring included.
        bytes_down, bytes_up: what the models and updates would take as files.
        participants: the clients that trained, in order; `refused`: those whose update was too long.
        attackers: those of the participants that attack.
        delivered: the updates of the participants that were not refused, in order, with what came with them.
        diagnoses: what the rule made of each of these; none in a void round.
        weights, state: the new global model, and the server optimiser's state that belongs to it.
    """

    round: int
    void: bool
    loss: float | None
    accuracy: float | None
    per_class_accuracy: list[float | None] | None
    train_loss: float
    train_accuracy: float
    backdoor: float | None
    seconds: float
    bytes_down: int
    bytes_up: int
    participants: tuple[str, ...]
    refused: tuple[str, ...]
    attackers: tuple[str, ...]
    delivered: list[Delivered]
    diagnoses: list[Diagnosis]
    weights: Tensors
    state: State


@dataclass(frozen=True)
class Start:
    """Where a simulation goes on: the last round that is over, its model and the server optimiser's state.

    A round depends on nothing else of those before it, so the rounds to come are the same bits as without a break;
    but for cohorts that are drawn by what clients delivered, which need the `history` as well, and for SCAFFOLD, whose
    clients keep control variates that no model has: its rounds until then are simulated once more, untold.
    """

    round: int
    weights: Tensors
    state: State
    history: History = field(default_factory=History)


@dataclass(frozen=True)
class Trained:
    """Where a round stands: how many of its clients have trained."""

    round: int
    done: int
    clients: int
