"""The lives of one node: real processes with one key and one state folder, each with a fault of its own or none.

They are forked from a process that has imported what takes long, so that a life begins in a fraction of a second.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from forked import become_potluck, forked

from edge_client.identity import write_key

PATIENCE_S = 120.0


class NodeLives:
    """`potluck join`, again and again. The key follows from the name, so that a run can be repeated."""

    def __init__(self, folder: Path, name: str, index: int) -> None:
        self.name = name
        self.key = folder / "keys" / f"{name}.pem"
        self.state = folder / "state" / name
        self._folder = folder / "lives"
        self._index = index
        self._context = forked()
        self._process: Any = None
        if not self.key.exists():
            write_key(self.key, Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")))
        self._folder.mkdir(exist_ok=True)
        self._life = len(list(self._folder.glob(f"{name}-*.log")))  # of this name, in any task

    def start(self, url: str, task_id: str, token: str, *flags: str, fault: str | None = None) -> None:
        """A new life, with its fault; every step of its training leaves a checkpoint."""
        assert self._process is None or not self._process.is_alive(), f"{self.name} is still alive"
        self._life += 1
        arguments = ["join", url, "--task", task_id, "--key", str(self.key), "--name", self.name]
        arguments += ["--index", str(self._index), "--state-dir", str(self.state), "--checkpoint-every", "0", *flags]
        environment = os.environ | {"POTLUCK_TOKEN": token, "OMP_NUM_THREADS": "1"}
        environment |= {"POTLUCK_FAULT": fault} if fault else {}
        self._process = self._context.Process(target=become_potluck, args=(arguments, environment, str(self._log)))
        self._process.start()

    def died(self) -> int:
        """Waits for the end of this life; its exit code, negative for a signal."""
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None, f"{self.name} goes on:\n{self.said()}"
        return int(self._process.exitcode)

    def killed(self) -> bool:
        """Waits for the end of this life: whether SIGKILL ended it."""
        code = self.died()
        assert code == -signal.SIGKILL, f"{self.name} ended with {code}:\n{self.said()}"
        return True

    def halted(self) -> None:
        """Waits until the process has been halted by its fault."""
        self._until(lambda: self._status() == "T", "it halts")

    def says(self, pattern: str) -> re.Match[str]:
        """Waits until this life has said something; the match."""
        self._until(lambda: re.search(pattern, self.said()) is not None, f"it says {pattern!r}")
        found = re.search(pattern, self.said())
        assert found is not None
        return found

    def signal(self, *numbers: int) -> None:
        """Sends signals."""
        for number in numbers:
            os.kill(self._process.pid, number)

    def said(self) -> str:
        """What this life wrote."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def files(self) -> dict[str, int]:
        """What is in the state folder, with sizes; empty where there is none."""
        return {
            str(path.relative_to(self.state).as_posix().partition("/")[2]): path.stat().st_size
            for path in self.state.rglob("*")
            if path.is_file()
        }

    def end(self) -> None:
        """Leaves no process behind."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join()

    @property
    def _log(self) -> Path:
        return self._folder / f"{self.name}-{self._life}.log"

    def _status(self) -> str:
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        ticker, deadline = threading.Event(), time.monotonic() + PATIENCE_S
        while not condition():
            assert self._process.is_alive() or condition(), f"{self.name} ended before {what}:\n{self.said()}"
            assert time.monotonic() < deadline, f"{self.name} went on for {PATIENCE_S} s, until {what}:\n{self.said()}"
            ticker.wait(0.02)
