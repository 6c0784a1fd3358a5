"""A column of labels as classes from 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np

from resources.datasets.card import Labels
from resources.datasets.hub.files import batches
from resources.models.card import Unbuildable

MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Classes:
    """How a label becomes a class.

    Attributes:
        kind: numbers: the label is the class; sorted: its place in `values`.
        values: all labels of the training split, sorted; empty for numbers.
        names: of the classes, as far as anyone has given any.
    """

    kind: Literal["numbers", "sorted"]
    count: int
    values: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()

    def of(self, labels: Sequence[Any], column: str, split: str) -> Labels:
        """The classes of these labels, int64.

        Raises:
            Refused: `Unbuildable` for a label that is no class of the training split's, naming its row.
        """
        places = {value: place for place, value in enumerate(self.values)} if self.kind == "sorted" else None
        found = np.array([int(each) if places is None else places.get(each, -1) for each in labels], dtype=np.int64)
        wrong = (found < 0) | (found >= self.count)
        if wrong.any():
            row = int(wrong.argmax())
            what = f"row {row} of the {split} split has the {column} {str(labels[row])[:40]!r}"
            _refuse(f"{what}, which is none of the {self.count} classes of the training split", "y")
        return found


def read_labels(files: Sequence[Path], column: str, split: str) -> list[Any]:
    """The labels in order.

    Raises:
        Refused: `Unbuildable` for an empty cell, naming its row; BAD_DATA as `batches`.
    """
    labels: list[Any] = []
    for at, batch in batches(files, [column]):
        cells = batch.column(column)
        if cells.null_count:
            row = at + int(np.argmax(cells.is_null().to_numpy(zero_copy_only=False)))
            _refuse(f"row {row} of the {split} split has no {column}", "y")
        labels += cells.to_pylist()
    return labels


def classes_of(labels: Sequence[Any], column: str, names: tuple[str, ...] | None) -> Classes:
    """How the training split's labels become classes: numbers from 0 and named ones are classes themselves; words, and
    numbers that begin elsewhere, are counted in their order.

    Raises:
        Refused: `Unbuildable` for labels below 0, more classes than bounds allow, or fewer than two.
    """
    values = sorted(set(labels))
    numbers = bool(values) and not isinstance(values[0], str)
    if numbers and values[0] < 0:
        said = "the Hub's sign of examples whose label is kept secret"
        _refuse(f"{column} holds {values[0]}" + (f", {said}" if values[0] == -1 else ""), "y")
    if numbers and (names is not None or values[0] == 0):
        found = Classes("numbers", len(names) if names is not None else int(values[-1]) + 1, names=names or ())
    else:
        found = Classes("sorted", len(values), tuple(values), tuple(str(value) for value in values))
    if not 2 <= found.count <= MOST_CLASSES:
        _refuse(f"{column} has {found.count} classes, and 2 to {MOST_CLASSES:,} can be learnt", "y")
    return found


def _refuse(problem: str, role: str) -> NoReturn:
    mend = f"name another column as data.columns.{role}, another split, or another data set"
    raise Unbuildable("data.columns", problem, mend)
