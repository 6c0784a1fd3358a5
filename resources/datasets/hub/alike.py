"""Whether all files of a data set have the same kinds of columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from federation.hub_data import ColumnsSpec
from resources.datasets.hub.columns import Column, Columns, columns_of
from resources.datasets.hub.listing import Listing
from resources.models.card import Unbuildable

_NUMBERS = ("integer", "number")


def check_alike(paths: Sequence[Path], named: ColumnsSpec, columns: Columns, found: Listing, config: str) -> None:
    """Whether the columns that are read are in every file what they are in the first one, whose `columns` are given:
    whole numbers and fractions may stand for one another, but not as labels.

    Raises:
        Refused: `Unbuildable`, naming the column and the file; BAD_DATA where one is no parquet file.
    """
    listed = (named.x,) if isinstance(named.x, str) else named.x or ()
    for path in paths:
        here = columns_of(path, found, config)
        for name in (*listed, named.y, named.user):
            if name is not None and not _same(here.get(name), columns[name], loose=name in listed):
                type_ = here[name].type if name in here else "no such column"
                problem = f"{name[:60]} is {columns[name].type} in the first file, and in {path.name} {type_}"
                raise Unbuildable("data.columns", problem, "name other columns, another split or another data set")


def _same(one: Column | None, first: Column, *, loose: bool) -> bool:
    if one is None:
        return False
    return one.kind == first.kind or (loose and one.kind in _NUMBERS and first.kind in _NUMBERS)
