"""What clients delivered, and what is known of them by it: a server's facts, without those that a clock would give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from federation.evaluation import Evaluation
from federation.selection import LOOK_BACK, Facts


@dataclass(frozen=True)
class Delivered:
    """One client's update, without its tensors.

    Attributes:
        train_loss, train_accuracy: over its last epoch.
        received: how the model that it received did on what the client holds out; None: it holds out nothing.
        norm: L2, of the delta.
    """

    client: str
    num_examples: int
    num_steps: int
    train_loss: float
    train_accuracy: float
    received: Evaluation | None
    norm: float

    @property
    def metrics(self) -> dict[str, float]:
        """As a node reports them."""
        found: dict[str, float | None] = {"train_loss": self.train_loss, "train_accuracy": self.train_accuracy}
        if self.received is not None:
            found |= {"eval_loss": self.received.loss, "eval_accuracy": self.received.accuracy}
            found["eval_examples"] = float(self.received.num_examples)
        return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


@dataclass(frozen=True)
class Heard:
    """A client's latest update: in which round, of how many examples, and the loss that came with it."""

    round: int
    examples: int
    loss: float | None

    @classmethod
    def of(cls, number: int, examples: int, metrics: Mapping[str, float]) -> Heard:
        """By the rule of servers: the loss of the received model goes before that of training."""
        return cls(number, examples, metrics.get("eval_loss", metrics.get("train_loss")))


class History:
    """The latest update of each client, by name."""

    def __init__(self, heard: Mapping[str, Heard] | None = None) -> None:
        self._heard = dict(heard or {})

    def copy(self) -> History:
        """One that may be added to, without a change to this one."""
        return History(self._heard)

    def note(self, number: int, delivered: Iterable[Delivered]) -> None:
        """Adds what came in round `number`."""
        self._heard |= {each.client: Heard.of(number, each.num_examples, each.metrics) for each in delivered}

    def facts(self, number: int) -> dict[str, Facts]:
        """What is known before round `number` is drawn."""
        return {
            client: Facts(examples=last.examples, loss=last.loss)
            for client, last in self._heard.items()
            if last.round > number - LOOK_BACK
        }
