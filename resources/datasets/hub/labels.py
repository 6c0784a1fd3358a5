"""A column of labels as classes from 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from resources.datasets.card import Labels
from resources.datasets.hub.lengths import lengths
from resources.datasets.hub.reading import batches
from resources.models.card import Unbuildable

if TYPE_CHECKING:
    import pyarrow

MOST_CLASSES = 100_000
_LONGEST = 1024
Labelling = list[int] | list[str]
"""A split's labels in order."""


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

    def of(self, labels: Labelling, column: str, split: str) -> Labels:
        """The classes of these labels, int64.

        Raises:
            Refused: `Unbuildable` for a label that is no class of the training split's, naming its row.
        """
        if self.kind == "numbers":
            if labels and isinstance(labels[0], str):
                _refuse(f"the {split} split has words in {column}, where the training split has whole numbers")
            found = np.array(labels, dtype=np.int64)
        else:
            places = {value: place for place, value in enumerate(self.values)}
            found = np.array([places.get(each, -1) for each in labels], dtype=np.int64)
        wrong = (found < 0) | (found >= self.count)
        if wrong.any():
            row = int(wrong.argmax())
            what = f"row {row} of the {split} split has the {column} {str(labels[row])[:40]!r}"
            _refuse(f"{what}, which is none of the {self.count} classes of the training split")
        return found


def read_labels(files: Sequence[Path], column: str, split: str) -> Labelling:
    """The labels in order: whole numbers that int64 holds, or words.

    Raises:
        Refused: `Unbuildable` for an empty cell, naming its row, and for what is neither; BAD_DATA as `batches`.
    """
    labels: list[Any] = []
    kept: dict[str, str] = {}
    for at, batch in batches(files, [column]):
        cells = batch.column(column)
        if cells.null_count:
            row = at + int(np.argmax(cells.is_null().to_numpy(zero_copy_only=False)))
            _refuse(f"row {row} of the {split} split has no {column}")
        found = _values(cells, at, column, split)
        if labels and found and type(found[0]) is not type(labels[0]):
            _refuse(f"{column} holds whole numbers and, from row {at} of the {split} split, words, or the reverse")
        # A word that is repeated a million times is held once.
        labels += [kept.setdefault(each, each) if isinstance(each, str) else each for each in found]
    return labels


def _values(cells: pyarrow.Array, at: int, column: str, split: str) -> Labelling:
    import pyarrow
    import pyarrow.types as of

    type_ = cells.type.value_type if of.is_dictionary(cells.type) else cells.type
    if of.is_integer(type_) or of.is_boolean(type_):
        try:
            numbers: list[int] = cells.cast(type_).cast("int64").to_pylist()
        except pyarrow.ArrowInvalid:
            _refuse(f"{column} holds numbers of more than 63 bits from row {at} of the {split} split on")
        return numbers
    if not (of.is_string(type_) or of.is_large_string(type_)):
        _refuse(f"{column} holds {str(type_)[:60]} in the {split} split, and classes are whole numbers or words")
    if (longest := int(lengths(cells).max(initial=0))) > _LONGEST:
        _refuse(f"{column} holds texts of {longest:,} bytes in the {split} split: no names of classes")
    words: list[str] = cells.cast(type_).to_pylist()
    return words


def classes_of(labels: Labelling, column: str, names: tuple[str, ...] | None) -> Classes:
    """How the training split's labels become classes: numbers from 0 and named ones are classes themselves; words, and
    numbers that begin elsewhere, are counted in their order.

    Raises:
        Refused: `Unbuildable` for labels below 0, more classes than bounds allow, or fewer than two.
    """
    values: list[Any] = sorted(set(labels))
    numbers = bool(values) and not isinstance(values[0], str)
    if numbers and values[0] < 0:
        said = "the Hub's sign of examples whose label is kept secret"
        _refuse(f"{column} holds {values[0]}" + (f", {said}" if values[0] == -1 else ""))
    if numbers and (names is not None or values[0] == 0):
        found = Classes("numbers", len(names) if names is not None else int(values[-1]) + 1, names=names or ())
    else:
        found = Classes("sorted", len(values), tuple(values), tuple(str(value) for value in values))
    if not 2 <= found.count <= MOST_CLASSES:
        _refuse(f"{column} has {found.count} classes, and 2 to {MOST_CLASSES:,} can be learnt")
    return found


def _refuse(problem: str) -> NoReturn:
    mend = "name another column as data.columns.y, another split, or another data set"
    raise Unbuildable("data.columns", problem, mend)
