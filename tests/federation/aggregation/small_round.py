"""A round of small updates given as the rows of a matrix, through files as in a real round."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from federation.aggregation.contributions import Contribution
from federation.aggregation.outcome import Aggregate
from federation.aggregation.rules import aggregate
from federation.spec import AggregationSpec, TrainingSpec
from federation.weights import load, pack_update, to_bytes

Rows = NDArray[np.float64]


def tensors(row: Rows, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The row as tensors whose names sort in its order: a scalar, the rest, and one without elements."""
    values = torch.from_numpy(np.array(row, dtype=np.float64)).to(dtype)
    return {"a.scalar": values[0], "b.rest": values[1:], "c.empty": torch.zeros((0, 3), dtype=dtype)}


def row_of(found: dict[str, torch.Tensor]) -> Rows:
    """The inverse of `tensors`."""
    return torch.cat([found["a.scalar"].reshape(1), found["b.rest"]]).double().numpy()


class Round:
    """Updates on disk; node i holds row i. A folder of its own, gone with `close`."""

    def __init__(
        self, rows: Any, *, dtype: torch.dtype = torch.float64, counts: Sequence[int] = (), steps: Sequence[int] = ()
    ) -> None:
        self.rows: Rows = np.array(rows, dtype=np.float64)
        self._folder = tempfile.TemporaryDirectory(prefix="potluck-round-")
        folder = Path(self._folder.name)
        self.base = folder / "base"
        self.base.write_bytes(to_bytes(tensors(np.zeros(self.rows.shape[1]), dtype)))
        self.contributions = []
        for i, row in enumerate(self.rows):
            path = folder / f"{i:03d}"
            path.write_bytes(pack_update(tensors(row, dtype)))
            count, taken = (counts[i] if counts else 10), (steps[i] if steps else 1)
            self.contributions.append(Contribution(f"node-{i:03d}", f"up-{i:03d}", path, count, taken))

    def __enter__(self) -> Round:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def first(self, n: int) -> list[Contribution]:
        """The contributions of the first n nodes."""
        return self.contributions[:n]

    def held_by(self, order: Sequence[int]) -> list[Contribution]:
        """The same updates at other nodes: node i holds row order[i]."""
        return [
            replace(self.contributions[row], node_id=f"node-{i:03d}", upload_id=f"up-{i:03d}")
            for i, row in enumerate(order)
        ]

    def run(
        self,
        rule: str,
        contributions: Sequence[Contribution] | None = None,
        *,
        training: TrainingSpec | None = None,
        seed: int = 0,
        state: dict[str, torch.Tensor] | None = None,
        **spec: Any,
    ) -> Aggregate:
        """The round aggregated by `rule`; SCAFFOLD's second set is half of each row, of twice as many clients."""
        chosen = list(self.contributions if contributions is None else contributions)
        if rule == "scaffold":
            chosen = [replace(each, path=self._with_second_set(each.path)) for each in chosen]
        return aggregate(
            AggregationSpec.model_validate({"rule": rule} | spec),
            self.base,
            chosen,
            training=training or TrainingSpec(),
            seed=seed,
            state=state,
            clients=2 * len(self.rows),
        )

    def _with_second_set(self, path: Path) -> Path:
        delta = {name.removeprefix("delta/"): tensor for name, tensor in load(path).items()}
        both = path.with_suffix(".both")
        both.write_bytes(pack_update(delta, {name: tensor.float() / 2 for name, tensor in delta.items()}))
        return both


def direction(rule: str, rows: Any, *, counts: Sequence[int] = (), steps: Sequence[int] = (), **spec: Any) -> Rows:
    """What the rule makes of the rows, in a float64 model that starts at zero."""
    with Round(rows, counts=counts, steps=steps) as small:
        return row_of(small.run(rule, **spec).weights)


def draw(seed: int, n: int, d: int = 6, *, scale: float = 1.0) -> Rows:
    """n rows around a common direction, without ties."""
    dice = np.random.default_rng(seed)
    return scale * (dice.normal(size=d) + 0.5 * dice.normal(size=(n, d)))
