"""Files that are whole or not there: facts as JSON, a payload, and a digest over both.

    potluck-state-1 LF   facts (JSON on one line) LF   payload   SHA-256 of all that stands before (32 bytes)

A file gets its name only once it is on disk, so a crash leaves the old one or the new one. What the disk itself spoils
is noticed by the digest. Nothing in such a file can run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from federation.fault_points import reach
from federation.part import sync_folder, write_all

MAGIC = b"potluck-state-1\n"
MAX_FACTS = 1 << 20
UNFINISHED = ".new"
"""How the name of a file ends that is being written."""
_DIGEST = hashlib.sha256().digest_size


class Damaged(Exception):
    """A sealed file is not what was written."""


def write_sealed(path: Path, facts: Mapping[str, Any], payload: Iterable[bytes | memoryview]) -> None:
    """Put `facts` and `payload` at `path`, atomically and synced; a file that was there is replaced.

    Raises:
        OSError: the disk would not take it; what was at `path` is still there.
    """
    fresh = path.with_name(path.name + UNFINISHED)
    digest = hashlib.sha256()
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        try:
            for piece in (MAGIC, json.dumps(facts).encode() + b"\n", *payload):
                write_all(file, piece)
                digest.update(piece)
            reach("node_state_unsealed")
            write_all(file, digest.digest())
            os.fsync(file)
        finally:
            os.close(file)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_sealed(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """The facts and the payload at `path`; None where there is no file.

    Raises:
        Damaged: the file is not as it was written, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(len(MAGIC)), file.readline(MAX_FACTS)
            payload = file.read(max(0, size - file.tell() - _DIGEST))
            seal = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"it cannot be read: {error}") from error
    digest = hashlib.sha256()
    for piece in (*head, payload):
        digest.update(piece)
    if digest.digest() != seal or head[0] != MAGIC:
        raise Damaged("it is not as it was written")
    try:
        facts = json.loads(head[1])
    except (ValueError, RecursionError):
        raise Damaged("its facts are no JSON, or too long") from None
    if not isinstance(facts, dict):
        raise Damaged("its facts are no object")
    return facts, payload
