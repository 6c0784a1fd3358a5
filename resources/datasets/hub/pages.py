"""What a parquet file unpacks to: as its footer says, and as its pages do, for nobody holds a stranger to the footer.

Both are read here, in Thrift's compact protocol, and by their specification
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift): Arrow shows no headers of pages,
and a broken footer's columns, asked for one by one, end its process.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import Any

_WIDTH = 8
_MOST_FOOTER, _MOST_PAGES = 8 << 20, 100_000
_DEPTH, _LONGEST = 12, 10  # structs within structs, and bytes of a number
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = (*range(1, 11), 12)
_TAIL, _EIGHT, _LONG_LIST = 8, 8, 15  # bytes at a file's end and of a fraction; a list whose length is beside it
# Fields of FileMetaData, RowGroup and ColumnChunk; of ColumnMetaData; of PageHeader and of the headers in it.
_GROUPS, _COLUMNS, _ABOUT = 4, 1, 3
_NUM_VALUES, _TOTAL_UNPACKED, _TOTAL_PACKED, _DATA, _DICTIONARY = 5, 6, 7, 9, 11
_UNPACKED, _PACKED, _PAGES, _VALUES = 2, 3, (5, 7, 8), 1

Struct = dict[int, Any]


def row_groups(file: mmap) -> list[int]:
    """Bytes of each row group in memory, by its footer or by its pages, whichever is more: a number that runs through
    a million rows takes a few bytes of a file, and is counted a million times.

    Raises:
        ValueError: for a file that is none, or whose footer or pages are too many to be looked at.
    """
    end = len(file) - _TAIL
    length = int.from_bytes(file[end : end + 4], "little") if end > 0 else 0
    if file[-4:] != b"PAR1" or not 0 < length <= min(end, _MOST_FOOTER):
        raise ValueError(f"it has no footer of at most {_MOST_FOOTER >> 20} MiB")
    footer, _ = _struct(file, end - length, _DEPTH)
    columns = [_structs(group, _COLUMNS) for group in _structs(footer, _GROUPS)]
    return [sum(_column(file, column) for column in group) for group in columns]


def pages(file: mmap, about: Struct) -> Iterator[tuple[int, int]]:
    """Bytes of each page of a column when unpacked, and its values; `about` is its `ColumnMetaData`."""
    at = _size(about, _DATA)
    if _DICTIONARY in about and 0 < _size(about, _DICTIONARY) < at:
        at = _size(about, _DICTIONARY)
    end = at + _size(about, _TOTAL_PACKED)
    while at < end:
        header, at = _struct(file, at, _DEPTH)
        inner = [found for name in _PAGES if isinstance(found := header.get(name), dict)]
        yield _size(header, _UNPACKED), sum(_size(found, _VALUES) for found in inner)
        at += _size(header, _PACKED)


def _column(file: mmap, chunk: Struct) -> int:
    about = chunk.get(_ABOUT)
    if not isinstance(about, dict):
        raise ValueError("its footer does not say where a column is")
    size = values = 0
    for place, (more, held) in enumerate(pages(file, about)):
        if place >= _MOST_PAGES:
            raise ValueError(f"a column has more than {_MOST_PAGES:,} pages")
        size, values = size + more, values + held
    return max(size, _size(about, _TOTAL_UNPACKED), max(values, _size(about, _NUM_VALUES)) * _WIDTH)


def _structs(of: Struct, field: int) -> list[Struct]:
    found = of.get(field)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("its footer does not say what is in it")
    return found


def _size(of: Struct, field: int) -> int:
    found = of.get(field)
    if not isinstance(found, int) or found < 0:
        raise ValueError("its footer, or the header of a page, does not state a size")
    return found


def _struct(data: mmap, at: int, depth: int) -> tuple[Struct, int]:
    """Numbers, lists and structs by the numbers of their fields; and where it ends."""
    found: Struct = {}
    field = 0
    while (head := _byte(data, at)) != 0:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _number(data, at)
        if (kind := head & 15) not in (_TRUE, _FALSE):  # which are values by themselves
            found[field], at = _value(data, at, kind, depth)
    return found, at + 1


def _value(data: mmap, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _number(data, at)
    if kind == _BINARY:
        length, at = _varint(data, at)
        return None, at + length
    if kind in (_TRUE, _FALSE, _BYTE, _DOUBLE):
        return None, at + (_EIGHT if kind == _DOUBLE else 1)
    if kind == _STRUCT and depth:
        return _struct(data, at, depth - 1)
    if kind in (_LIST, _SET) and depth:
        head, at = _byte(data, at), at + 1
        count = head >> 4
        if count == _LONG_LIST:
            count, at = _varint(data, at)
        every = []
        for _ in range(count):
            each, at = _value(data, at, head & 15, depth - 1)
            every.append(each)
        return every, at
    raise ValueError("its footer, or the header of a page, is none")


def _number(data: mmap, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: mmap, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST):
        byte = _byte(data, at + place)
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a number in its footer, or in the header of a page, has no end")


def _byte(data: mmap, at: int) -> int:
    if not 0 <= at < len(data):
        raise ValueError("a page lies beyond the file's end")
    return data[at]
