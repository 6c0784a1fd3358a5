"""Rows of a stranger's parquet files, within bounds of memory: some bytes of parquet can be very many once unpacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from federation.errors import ErrorCode, Refused
from resources.datasets.hub.lengths import lengths
from resources.datasets.hub.pages import row_groups

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet as pq

MOST_UNPACKED, MOST_GROUP = 8 << 30, 1 << 30
"""Bytes of a split's columns without compression: all together, and of a row group, which is read at once."""
MOST_ROWS = 1 << 24
"""Of a split."""
MOST_BATCH = 64 << 20
"""Bytes of the rows that are handed out at once, every repeated value counted as often as it occurs."""
_BATCH = 8192
_PIECE = 1 << 20


def check_size(paths: Sequence[Path], split: str) -> None:
    """What the files unpack to, as their footers and their pages say.

    Raises:
        Refused: BAD_DATA where it is more than a machine should be asked for, or a file is no parquet file.
    """
    whole, largest, rows = 0, 0, 0
    for path in paths:
        meta = _metadata(path)
        groups = _groups(path)
        whole, largest, rows = whole + sum(groups), max([largest, *groups]), rows + meta.num_rows
    mend = "choose a smaller split, configuration or data set"
    if whole > MOST_UNPACKED or largest > MOST_GROUP:
        problem = f"the {split} split unpacks to {whole / 2**30:.1f} GiB, {largest / 2**30:.1f} of them at once."
        raise Refused(ErrorCode.BAD_DATA, problem, mend)
    if rows > MOST_ROWS:
        problem = f"the {split} split has {rows:,} rows, more than the {MOST_ROWS:,} that are taken."
        raise Refused(ErrorCode.BAD_DATA, problem, mend)


def num_rows(paths: Sequence[Path]) -> int:
    """Rows of all files, as they say themselves. Refused BAD_DATA where one is no parquet file."""
    return sum(_metadata(path).num_rows for path in paths)


def batches(paths: Sequence[Path], columns: list[str]) -> Iterator[tuple[int, pyarrow.RecordBatch]]:
    """The rows of all files in order, some at a time, each with the place of its first row. Texts and bytes are
    dictionaries: a value that a file holds once and repeats is held once here, too.

    Raises:
        Refused: BAD_DATA where a file is no parquet file, is damaged, lacks a column, or has a row that is too large.
    """
    import pyarrow
    import pyarrow.parquet as pq

    at = 0
    for path in paths:
        meta = _metadata(path)
        try:
            with pq.ParquetFile(path, read_dictionary=_repeated(meta), buffer_size=_PIECE) as file:
                if missing := set(columns) - set(file.schema_arrow.names):
                    raise pyarrow.ArrowInvalid(f"it lacks the columns {', '.join(sorted(missing))}")
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=columns)
                    if table.num_rows != meta.row_group(group).num_rows:
                        raise pyarrow.ArrowInvalid(f"row group {group} has other rows than the footer says")
                    for whole in table.to_batches():
                        whole.validate(full=True)  # texts that are none, places beyond a dictionary's end
                        for batch in _cut(whole, at):
                            yield at, batch
                            at += batch.num_rows
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> Refused:
    """BAD_DATA: the file is no parquet file, or a damaged one."""
    problem = f"{path.name} cannot be read as parquet: {_clean(error)}."
    return Refused(ErrorCode.BAD_DATA, problem, "choose another data set, or another revision")


def _cut(whole: pyarrow.RecordBatch, at: int) -> Iterator[pyarrow.RecordBatch]:
    """Parts of so many rows that none is more than `MOST_BATCH` where every value is counted each time."""
    ends = np.cumsum(np.sum([lengths(column) for column in whole.columns], axis=0, dtype=np.int64))
    start, before = 0, 0
    while start < whole.num_rows:
        end = min(int(np.searchsorted(ends, before + MOST_BATCH, side="right")), start + _BATCH)
        if end == start:
            problem = (
                f"row {at + start} has {(ends[start] - before) >> 20} MiB, more than the {MOST_BATCH >> 20} of one."
            )
            raise Refused(ErrorCode.BAD_DATA, problem, "choose other columns, another split or another data set")
        yield whole.slice(start, end - start)
        start, before = end, int(ends[end - 1])


def _metadata(path: Path) -> pq.FileMetaData:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        meta = pq.read_metadata(path)
        if sum(meta.row_group(place).num_rows for place in range(meta.num_row_groups)) != meta.num_rows:
            raise pyarrow.ArrowInvalid("its row groups have other rows than its footer says")
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from error
    return meta


def _groups(path: Path) -> list[int]:
    """Bytes of each row group in memory."""
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return row_groups(data)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _repeated(meta: pq.FileMetaData) -> list[str]:
    """The columns, wherever they are nested, whose values can be of any length."""
    leaves = [meta.schema.column(place) for place in range(len(meta.schema))]
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]


def _clean(error: Exception) -> str:
    """What a library says of a stranger's file, which may quote it."""
    return "".join(character if character.isprintable() else " " for character in str(error)[:200])
