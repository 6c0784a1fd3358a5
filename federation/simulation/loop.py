"""One client after the other on one model: what a node does, without the network. Every model, least memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from federation.simulation.clients import LocalUpdate, Work
from federation.simulation.engine import ModelFactory
from federation.spec import TrainingSpec
from federation.training import Examples, train
from federation.weights import Tensors, subtract


class LoopEngine:
    """The reference that the other engines are measured against."""

    def __init__(self, factory: ModelFactory, pool: Examples, spec: TrainingSpec, *, proximal: float = 0.0) -> None:
        self._model = factory()
        self._pool = pool
        self._spec = spec
        self._proximal = proximal

    def train(self, weights: Tensors, work: Sequence[Work]) -> Iterator[LocalUpdate]:
        """See `Engine`."""
        for each in work:
            self._model.load_state_dict(weights)
            trained = train(self._model, each.client.examples(self._pool), self._spec, seed=each.seed)
            yield LocalUpdate(
                client=each.client.name,
                delta=subtract(self._model.state_dict(), weights),
                num_examples=trained.num_examples,
                num_steps=trained.num_steps,
                loss=trained.loss,
                accuracy=trained.accuracy,
            )
