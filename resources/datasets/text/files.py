"""A node's own texts, read from its disk and checked before anything trains on them.

- a JSONL file: on each line an object `{"text"}`, `{"prompt", "completion"}`, `{"text", "label"}`, or
  `{"messages": [{"role", "content"}, ...]}`; all lines alike.
- a CSV file with a header: columns `text`; `prompt` and `completion`; or `text` and `label`.
- a .txt file: texts with blank lines between them; or a folder of such files, taken in the order of their names.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from federation.errors import ErrorCode, Refused
from resources.datasets.text.rows import ROLES, Chat, Completion, Labelled, Message, Row, Rows, Text

Found = tuple[str, Mapping[str, Any]]  # where a row stands, for a person to find it, and its fields
MOST_BYTES = 64 * 2**20
"""Of all files together: some 16 million tokens, which take a gigabyte while they are made examples, then a quarter."""
MOST_ROWS = 1_000_000
_COLUMNS = ({"text"}, {"prompt", "completion"}, {"text", "label"})
_WANTED = "give text; prompt and completion; text and label; or messages: and nothing else"
_KNOWN = "give a .jsonl, .csv or .txt file, or a folder of .txt files"


def load_texts(path: Path, *, num_classes: int | None) -> Rows:
    """The texts at `path`, all of one kind and none empty.

    Args:
        num_classes: of a task that classifies, whose rows are a text and a label below it; None: rows have no label.

    Raises:
        Refused: BAD_DATA, naming the file and line at fault; DATA_UNAVAILABLE if there is no such file.
    """
    files = _files(path)
    if (size := sum(file.stat().st_size for file in files)) > MOST_BYTES:
        problem = f"{path} holds {size / 2**20:.0f} MiB, more than the {MOST_BYTES // 2**20} MiB that a node takes."
        _bad(problem, "give a part of it")
    rows: list[Row] = []
    for file in files:
        for where, fields in _READERS[file.suffix.lower()](file):
            row = row_of(where, fields, num_classes)
            if rows and type(row) is not type(rows[0]):
                _bad(f"{where} is of another kind than the rows before it.", "put each kind into a file of its own")
            rows.append(row)
            if len(rows) > MOST_ROWS:
                _bad(f"{path} holds more than {MOST_ROWS:,} texts.", "give a part of it")
    if not rows:
        _bad(f"{path} holds no texts.", "add some")
    return tuple(rows)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        for file in files:
            if not file.is_file() or file.suffix.lower() != ".txt":
                _bad(f"{file} is no .txt file, and a folder of texts holds nothing else.", "move it elsewhere")
        return files
    if not path.exists():
        raise Refused(ErrorCode.DATA_UNAVAILABLE, f"{path} does not exist.", _KNOWN)
    if not path.is_file() or path.suffix.lower() not in _READERS:
        _bad(f"{path} is of no kind that texts are read from.", _KNOWN)
    return [path]


def _jsonl(file: Path) -> Iterator[Found]:
    for number, line in enumerate(_decoded(file).removesuffix("\n").split("\n"), start=1):
        where = f"{file}, line {number}"
        if not line.strip():
            _bad(f"{where} is empty.", "remove the line")
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            _bad(f"{where} is no JSON: {error}.", "write one JSON object on each line")
        if not isinstance(fields, dict):
            _bad(f"{where} is no JSON object.", _WANTED)
        yield where, fields


def _csv(file: Path) -> Iterator[Found]:
    reader = csv.reader(io.StringIO(_decoded(file), newline=""), strict=True)
    try:
        header, line = next(reader, []), reader.line_num + 1
        if set(header) not in _COLUMNS or len(set(header)) != len(header):
            columns = ", ".join(header)[:80] or "(none)"
            _bad(f"{file} has the columns {columns}.", "name them text; prompt, completion; or text, label")
        for cells in reader:
            where, line = f"{file}, line {line}", reader.line_num + 1
            if len(cells) != len(header):
                _bad(f"{where} has {len(cells)} cells, not {len(header)}.", "complete or remove the row")
            fields: dict[str, Any] = dict(zip(header, cells, strict=True))
            if re.fullmatch("[0-9]{1,9}", fields.get("label", "")):
                fields["label"] = int(fields["label"])
            yield where, fields
    except csv.Error as error:
        mend = "quote cells as CSV does, or write a .jsonl file"
        _bad(f"{file}, line {reader.line_num} cannot be read: {error}.", mend)


def _txt(file: Path) -> Iterator[Found]:
    for place, paragraph in enumerate(re.split(r"\n(?:[^\S\n]*\n)+", _decoded(file).replace("\r\n", "\n")), start=1):
        if paragraph.strip():  # all but the first and the last
            yield f"{file}, text {place}", {"text": paragraph.strip("\n")}


_READERS: dict[str, Callable[[Path], Iterator[Found]]] = {".jsonl": _jsonl, ".csv": _csv, ".txt": _txt}


def _decoded(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        _bad(f"{file} cannot be read: {error}.", "save it in UTF-8")


def row_of(where: str, fields: Mapping[str, Any], num_classes: int | None) -> Row:
    """The row that these fields are; Refused BAD_DATA for others than the module's four forms, naming `where`."""
    match fields:
        case {"text": text, **more} if not more:
            row: Row = Text(_text(where, "text", text))
        case {"prompt": prompt, "completion": completion, **more} if not more:
            row = Completion(_text(where, "prompt", prompt), _text(where, "completion", completion))
        case {"messages": messages, **more} if not more:
            row = Chat(tuple(_messages(where, messages)))
        case {"text": text, "label": label, **more} if not more:
            row = Labelled(_text(where, "text", text), _label(where, label, num_classes))
        case _:
            keys = ", ".join(repr(str(key)[:40]) for key in list(fields)[:8])
            _bad(f"{where} has the fields {keys or '(none)'}.", _WANTED)
    if num_classes is not None and not isinstance(row, Labelled):
        _bad(f"{where} has no label, and the task classifies.", "give text and label in each row")
    return row


def _messages(where: str, messages: Any) -> Iterator[Message]:
    if not isinstance(messages, list) or not messages:
        _bad(f"{where}: messages is no list of turns.", _WANTED)
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            _bad(f"{where}, message {number} is no object with role and content alone.", "correct the message")
        if message["role"] not in ROLES:
            problem = f"{where}, message {number} has the role {str(message['role'])[:40]!r}."
            _bad(problem, f"use {', '.join(ROLES)}")
        yield Message(message["role"], _text(f"{where}, message {number}", "content", message["content"]))
    if not any(message["role"] == "assistant" for message in messages):
        _bad(f"{where} has no assistant's turn, so there is nothing to learn.", "add the answer, or remove the line")


def _label(where: str, label: Any, num_classes: int | None) -> int:
    if num_classes is None:
        _bad(f"{where} has a label, and the task does not classify.", "leave label out, or set model.task")
    if not isinstance(label, int) or isinstance(label, bool):
        _bad(f"{where} has the label {str(label)[:40]!r}, which is no whole number.", "number the classes from 0")
    if not 0 <= label < num_classes:
        _bad(f"{where} has label {label}.", f"the task's classes are 0 to {num_classes - 1}")
    return label


def _text(where: str, name: str, text: Any) -> str:
    if not isinstance(text, str):
        _bad(f"{where}: {name} is no text.", "put it in quotation marks")
    if not text.strip():
        _bad(f"{where}: {name} is empty.", "fill it in, or remove the row")
    if "\0" in text:
        _bad(f"{where}: {name} holds null characters.", "save the file in UTF-8")
    try:
        text.encode()
    except UnicodeEncodeError:
        _bad(f"{where}: {name} holds half of a character (a lone surrogate).", "correct the escape \\u...")
    return text


def _bad(problem: str, mend: str) -> NoReturn:
    raise Refused(ErrorCode.BAD_DATA, problem, mend)
