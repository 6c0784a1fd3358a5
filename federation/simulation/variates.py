"""The clients' control variates of a simulated SCAFFOLD: in memory while they fit a budget, else in files.

A client that has not trained yet has none, which means zero. A round reads them while it trains, and moves them only
once it has made a model: then all of them are of the same rounds as the server's c.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from federation.aggregation.fold import Sum, weighted_sum
from federation.aggregation.pieces import Pieces, in_memory
from federation.aggregation.scaffold import change, control_of
from federation.aggregation.server_optimizer import State
from federation.layout import Layout
from federation.simulation.clients import flattened
from federation.training import trained_parameters
from federation.weights import aux_layout


class Variates:
    """Use it in a `with` statement, for files go at its end.

    Args:
        model: whose trained parameters have variates; the others keep zeros.
        layout: of the model, all float32; its order is that of a row's columns.
        clients: the names of all, each once.
        budget: bytes of memory that all variates may take together.
        folder: where a folder for files is made; default: the system's.
    """

    def __init__(
        self, model: nn.Module, layout: Layout, clients: Sequence[str], *, budget: int, folder: Path | None = None
    ) -> None:
        self._layout = layout
        self._sizes = [info.num_values for info in layout.values()]
        self._trained = {name for name, _ in trained_parameters(model)}
        self._place = {name: place for place, name in enumerate(clients)}
        self.in_memory = 4 * len(self._place) * sum(self._sizes) <= budget
        self._rows: dict[str, Tensor] = {}
        self._files: tempfile.TemporaryDirectory[str] | None = None
        if not self.in_memory:
            self._files = tempfile.TemporaryDirectory(prefix="potluck-variates-", dir=folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._files is not None:
            self._files.cleanup()

    def of(self, client: str) -> Tensor:
        """c_i, float32 [parameters]."""
        if self._files is None:
            row = self._rows.get(client)
            return torch.zeros(sum(self._sizes)) if row is None else row
        path = self._path(client)
        return torch.from_numpy(np.load(path)) if path.exists() else torch.zeros(sum(self._sizes))

    def corrections(self, clients: Sequence[str], state: State) -> list[Callable[[], Tensor]]:
        """c - c_i of each client, float32 [parameters], made when it is asked for."""
        c = self._flat(state)

        def of(client: str) -> Callable[[], Tensor]:
            return lambda: c - self.of(client)

        return [of(client) for client in clients]

    def changes(
        self,
        clients: Sequence[str],
        rows: Sequence[Callable[[], Tensor]],
        steps: Sequence[int],
        rate: float,
        state: State,
    ) -> Changes:
        """Δc_i of each client from its delta and its number of steps."""
        c = control_of(state, self._layout)

        def of(place: int) -> dict[str, Tensor]:
            pieces = zip(self._layout.items(), torch.split(rows[place](), self._sizes), strict=True)
            delta = {name: piece.view(info.shape) for (name, info), piece in pieces}
            return change(delta, c, steps=steps[place], learning_rate=rate, trained=self._trained)

        return Changes(self, clients, of, self._layout)

    def move(self, client: str, changed: dict[str, Tensor]) -> None:
        """c_i <- c_i + Δc_i."""
        row = self.of(client) + flattened([changed[name] for name in self._layout])
        if self._files is None:
            self._rows[client] = row
        else:
            np.save(self._path(client), row.numpy())

    def _flat(self, state: State) -> Tensor:
        c = control_of(state, self._layout)
        return flattened([c[name] for name in self._layout])

    def _path(self, client: str) -> Path:
        assert self._files is not None  # noqa: S101 - asked for where there are files only
        return Path(self._files.name) / f"{self._place[client]}.npy"  # a name may be anything


class Changes:
    """The changes of a round's variates, each made from its delta when it is its turn."""

    def __init__(
        self, variates: Variates, clients: Sequence[str], of: Callable[[int], dict[str, Tensor]], layout: Layout
    ) -> None:
        self._variates = variates
        self._clients = clients
        self._of = of
        self._layout = layout

    def weighted_sum(self, weights: Sequence[float]) -> Sum:
        """See `federation.aggregation.scaffold.Summed`."""
        return weighted_sum(aux_layout(self._layout), self._pieces(), weights)

    def commit(self) -> None:
        """Moves the variates of the clients."""
        for place, client in enumerate(self._clients):
            self._variates.move(client, self._of(place))

    def _pieces(self) -> Iterator[Pieces]:
        for place in range(len(self._clients)):
            yield from in_memory([self._of(place)])
