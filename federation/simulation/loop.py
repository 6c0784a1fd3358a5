"""One client after the other on one model: what a node does, without the network. Every model, least memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from federation.errors import Refused
from federation.examples import Examples
from federation.simulation.clients import LocalUpdates, Work, flattened
from federation.simulation.engine import ModelFactory, check_float32
from federation.spec import TrainingSpec
from federation.training import train
from federation.weights import Tensors, subtract


class LoopEngine:
    """The reference that the other engines are measured against.

    Args:
        proximal: μ of FedProx, as for `federation.training.Training`.

    Raises:
        Refused: INVALID_SPEC for a model that is not all float32.
    """

    def __init__(self, factory: ModelFactory, pool: Examples, spec: TrainingSpec, *, proximal: float = 0.0) -> None:
        self._model = factory()
        check_float32(self._model)
        self._pool = pool
        self._spec = spec
        self._proximal = proximal

    def train(self, weights: Tensors, work: Sequence[Work]) -> Iterator[LocalUpdates]:
        """See `Engine`."""
        for each in work:
            self._model.load_state_dict(weights)
            examples = each.client.examples(self._pool)
            correction = self._named(each.correction()) if each.correction is not None else None
            try:
                trained = train(
                    self._model,
                    examples,
                    self._spec,
                    seed=each.seed,
                    proximal=self._proximal,
                    correction=correction,
                )
            except Refused as refused:
                raise Refused(refused.code, f"{each.client.name}: {refused.problem}", refused.mend) from None
            delta = subtract(self._model.state_dict(), weights)
            yield LocalUpdates(
                deltas=flattened([delta[name] for name in self._model.state_dict()])[None],
                num_examples=[trained.num_examples],
                num_steps=[trained.num_steps],
                loss=[trained.loss],
                accuracy=[trained.accuracy],
            )

    def _named(self, row: Tensor) -> dict[str, Tensor]:
        """A row as tensors by the model's names."""
        state = self._model.state_dict()
        pieces = torch.split(row, [tensor.numel() for tensor in state.values()])
        return {name: piece.view(state[name].shape) for name, piece in zip(state, pieces, strict=True)}
