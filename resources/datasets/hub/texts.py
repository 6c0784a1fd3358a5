"""Columns of texts as rows for a language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from federation.errors import Refused
from federation.hub_data import ColumnsSpec
from resources.datasets.card import Labels
from resources.datasets.hub.lengths import lengths
from resources.datasets.hub.reading import batches
from resources.datasets.text.files import MOST_BYTES, MOST_ROWS, row_of
from resources.datasets.text.rows import Chat, Labelled, Row, Rows, characters
from resources.models.card import Unbuildable

_MOST_TURNS = 4 * MOST_ROWS
_LONGEST = 1024


def read_texts(files: Sequence[Path], columns: ColumnsSpec, labels: Labels | None, split: str) -> Rows:
    """The rows in order; empty texts, of which many sets have some, are left out by nobody: they are refused.

    Args:
        labels: class of each row; None where the model writes.

    Raises:
        Refused: `Unbuildable` for a row that is none, or for too many; BAD_DATA as `batches`.
    """
    x = str(columns.x)
    wanted = [x] if labels is not None or columns.y is None else [x, columns.y]
    rows: list[Row] = []
    size = turns = 0
    for at, batch in batches(files, wanted):
        for place, cells in enumerate(batch.to_pylist()):
            number = at + place
            row = _row(f"row {number} of the {split} split", cells, columns, None if labels is None else labels[number])
            size += characters(row)
            turns += len(row.messages) if isinstance(row, Chat) else 1
            rows.append(row)
        if size > MOST_BYTES or len(rows) > MOST_ROWS or turns > _MOST_TURNS:
            problem = f"the {split} split holds more than {MOST_BYTES >> 20} MiB, {MOST_ROWS:,} rows of texts"
            problem += f" or {_MOST_TURNS:,} turns of conversations"
            raise Unbuildable("data.splits", problem, "choose a smaller split, configuration or data set")
    return tuple(rows)


def read_users(files: Sequence[Path], column: str, split: str) -> tuple[str, ...]:
    """Whose each row is. Refused `Unbuildable` for a row that is nobody's, and for a column of what names nobody."""
    import pyarrow.types as of

    users: list[str] = []
    kept: dict[str, str] = {}
    mend = "name another column as data.columns.user"
    for _, batch in batches(files, [column]):
        cells = batch.column(column)
        if of.is_nested(cells.type) or (longest := int(lengths(cells).max(initial=0))) > _LONGEST:
            what = str(cells.type)[:60] if of.is_nested(cells.type) else f"texts of {longest:,} bytes"
            raise Unbuildable("data.columns", f"{column} holds {what} in the {split} split: no users", mend)
        plain = cells.dictionary_decode() if of.is_dictionary(cells.type) else cells
        found = (str(each) if each is not None else "" for each in plain.to_pylist())
        users += [kept.setdefault(each, each) for each in found]  # a user of a million rows is held once
    if "" in users:
        raise Unbuildable("data.columns", f"row {users.index('')} of the {split} split has no {column}", mend)
    return tuple(users)


def _row(where: str, cells: dict[str, Any], columns: ColumnsSpec, label: Any) -> Row:
    value = cells[str(columns.x)]
    if label is None:
        fields = {"text": value} if isinstance(value, str) or value is None else {"messages": value}
        if columns.y is not None:
            fields = {"prompt": value, "completion": cells[columns.y]}
    else:
        fields = {"text": value}
    try:
        row = row_of(where, fields, None)
    except Refused as refused:
        mend = "name another column as data.columns.x, another split, or another data set"
        raise Unbuildable("data.columns", refused.problem.removesuffix("."), mend) from None
    return row if label is None else Labelled(cast("str", value), int(label))
