"""Where a node keeps what a crash must not cost it: a folder for each server, task and key, held by one process.

    about.json     which server, task and node this is, for people
    lock           held while a node works
    model/         the global model that was downloaded last, by its hash
    control/       the server's control variate that was downloaded last, likewise (SCAFFOLD)
    training       a checkpoint of the round's training
    update         the finished update, until there is a receipt
    variate-N      this node's own control variate after its round N; at most two of them (SCAFFOLD)

At most three models' worth and the optimiser's state, with SCAFFOLD nine: each file replaces the one before. The
folder goes when its task is over, and with the next node beside it when nobody has opened it for two weeks.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_client.sealed import UNFINISHED, Damaged, read_sealed, write_sealed
from federation.errors import ErrorCode, Refused
from federation.part import FULL
from resources.datasets.cache import cache_folder

KEEP_S = 14 * 86_400.0
"""How long the folder of a task that nobody came back to is kept, in seconds."""
TRAINING, UPDATE, VARIATE = "training", "update", "variate-"


def state_root(chosen: Path | None, key: Path | None) -> Path:
    """The folder of folders: the chosen one, else one beside the key file, else one in the user's cache."""
    if chosen is not None:
        return chosen
    return key.with_suffix(".state") if key is not None else cache_folder() / "nodes"


@dataclass
class StateFolder:
    """A node's files on disk. What cannot be read or written costs work at most: `on_trouble` is told, and why."""

    path: Path
    on_trouble: Callable[[str], None]

    def __post_init__(self) -> None:
        self._writing = threading.Lock()
        self._open = True

    @property
    def models(self) -> Path:
        """Where downloaded models are."""
        return self.path / "model"

    @property
    def controls(self) -> Path:
        """Where the server's control variates are."""
        return self.path / "control"

    def write(self, name: str, facts: Mapping[str, Any], payload: Iterable[bytes | memoryview]) -> bool:
        """Replace the file `name`; whether it is on disk now."""
        with self._writing:
            if not self._open:  # a training thread that outlived its node
                return False
            try:
                write_sealed(self.path / name, facts, payload)
            except OSError as error:
                self.on_trouble(f"the {name} cannot be kept in {self.path} ({error.strerror}); going on without")
                return False
        return True

    def read(self, name: str, expected: Mapping[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """The facts and payload of the file `name`, if its facts agree with all of `expected`; else it is removed."""
        try:
            found = read_sealed(self.path / name)
        except Damaged as damage:
            self.refuse(name, str(damage))
            return None
        if found is None:
            return None
        facts, _ = found
        for fact, value in json.loads(json.dumps(expected)).items():
            if facts.get(fact) != value:
                self.refuse(name, f"its {fact} is {facts.get(fact)}, not {value}")
                return None
        return found

    def refuse(self, name: str, why: str) -> None:
        """Remove the file `name`, which is of no use, and say why."""
        self.on_trouble(f"the {name} kept in {self.path} is not used: {why}")
        self.remove(name)

    def remove(self, name: str) -> None:
        """Remove the file `name`, if there is one."""
        with self._writing, suppress(OSError):
            (self.path / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove everything: the task is over."""
        self.close()
        with suppress(OSError):
            _remove(self.path)

    def close(self) -> None:
        """Write nothing from now on."""
        with self._writing:
            self._open = False


@contextmanager
def open_state(
    root: Path, *, server: str, task_id: str, node_id: str, on_trouble: Callable[[str], None]
) -> Iterator[StateFolder]:
    """The folder of this server, task and node below `root`, made if there is none, locked while the context lasts.

    Raises:
        Refused: FENCED when another process holds it; INVALID_ARGUMENT or STORAGE_FULL when it cannot be made.
    """
    about = {"server": server, "task_id": task_id, "node_id": node_id}
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]
    path = root / name
    try:
        (path / "model").mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)  # parts of a model say much about the data
        lock = _lock(path)
        if lock is not None:
            (path / "about.json").write_text(json.dumps(about, indent=2) + "\n")
    except OSError as error:
        mend = "free some space, or pass --state-dir with a folder that can be written"
        full = ErrorCode.STORAGE_FULL if error.errno in FULL else ErrorCode.INVALID_ARGUMENT
        raise Refused(full, f"no state can be kept in {root}: {error}.", mend) from None
    if lock is None:
        mend = "stop the other node, or give this one a key of its own (--key)"
        raise Refused(ErrorCode.FENCED, f"another process is this node and keeps its state in {path}.", mend)
    _sweep(root, path)
    for half in path.glob(f"*{UNFINISHED}"):  # of a process that was killed while it wrote
        with suppress(OSError):
            half.unlink()
    folder = StateFolder(path, on_trouble)
    try:
        yield folder
    finally:
        folder.close()
        os.close(lock)


def _lock(path: Path) -> int | None:
    """The descriptor of the lock, None while another process has it."""
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    os.utime(lock)
    return lock


def _sweep(root: Path, mine: Path) -> None:
    """Remove folders that nobody has opened for long."""
    for lock in root.glob("*/lock"):
        with suppress(OSError):
            if lock.parent == mine or time.time() - lock.stat().st_mtime < KEEP_S:
                continue
            held = _lock(lock.parent)
            if held is not None:
                _remove(lock.parent)
                os.close(held)


def _remove(path: Path) -> None:
    """The lock last: a folder of which it is left can still be found."""
    for file in path.iterdir():
        if file.is_dir():
            shutil.rmtree(file, ignore_errors=True)
        elif file.name != "lock":
            file.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
