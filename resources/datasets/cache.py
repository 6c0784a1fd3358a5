"""Decoded images on disk: decoding MNIST takes seconds, reading it back takes a twentieth of one."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from resources.datasets.card import Pixels

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """`$POTLUCK_CACHE`, else `$XDG_CACHE_HOME/potluck`, else `~/.cache/potluck`."""
    if own := os.environ.get("POTLUCK_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "potluck"


def decoded(name: str, files: list[Path], decode: Callable[[], Pixels]) -> Pixels:
    """`decode()`, or what it gave for the same files before.

    The entry's key is each file's path, size and time of change, so that a replaced file is decoded anew. An entry
    is written beside its place and renamed, so readers never see half of one; one that cannot be read is made anew,
    and a cache that cannot be written costs time, not an error.
    """
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr(stats).encode()).hexdigest()[:16]
    entry = cache_folder() / "datasets" / f"{name}-{key}.npz"
    try:
        with entry.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Pixels(arrays["x"], arrays["y"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _log.warning("decoding %s anew: the cache entry %s cannot be read (%s)", name, entry, error)
    pixels = decode()
    try:
        _write(entry, pixels)
    except OSError as error:
        _log.warning("%s is not cached: %s", name, error)
    return pixels


def _write(entry: Path, pixels: Pixels) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=entry.parent, prefix=entry.stem, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, x=pixels.x, y=pixels.y)
        Path(part).replace(entry)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
