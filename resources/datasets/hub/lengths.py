"""How long the cells of a column are, before anything of them is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

_CELL, _TURN = 8, 128
"""Bytes of a number; and of what Python needs for each part of a list beside the part itself."""


def lengths(cells: pyarrow.Array) -> NDArray[np.int64]:
    """Bytes of each cell, int64 [n], every value of a dictionary counted as often as it occurs.

    Raises:
        pyarrow.ArrowInvalid: for cells of a kind that is not read, e.g. maps.
    """
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.types as of

    type_ = cells.type
    if of.is_dictionary(type_):
        each = np.append(lengths(cells.dictionary), 0)
        found: NDArray[np.int64] = each[cells.indices.cast("int64").fill_null(len(cells.dictionary)).to_numpy()]
    elif of.is_string(type_) or of.is_large_string(type_) or of.is_binary(type_) or of.is_large_binary(type_):
        found = pc.binary_length(cells).cast("int64").fill_null(0).to_numpy() + _CELL
    elif of.is_struct(type_):
        found = sum((lengths(part) for part in cells.flatten()), start=np.full(len(cells), _CELL, np.int64))
    elif of.is_list(type_) or of.is_large_list(type_):
        ends = np.append(0, np.cumsum(lengths(cells.values) + _TURN))
        found = np.diff(ends[cells.offsets.to_numpy()]) + _CELL
    elif of.is_primitive(type_) or of.is_null(type_):
        found = np.full(len(cells), _CELL, np.int64)
    else:
        raise pyarrow.ArrowInvalid(f"columns of {str(type_)[:60]} are not read")
    return found
