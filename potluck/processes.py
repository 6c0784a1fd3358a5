"""Child processes that end with their parent, each with a log of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

GRACE_S = 5.0
"""Seconds between asking a child to end and ending it."""


class Died(Exception):
    """A child ended that should not have."""


class Children:
    """Runs `python -m potluck.cli ...` in processes; leaving the context ends those that still run.

    Attributes:
        module: what each of them runs.
        tie: what each has for standard input; a pipe ends with this process, whatever ends it.
        keeps: whether a log that is there already is continued.
    """

    module: ClassVar[str] = "potluck.cli"
    tie: ClassVar[int] = subprocess.DEVNULL
    keeps: ClassVar[bool] = False

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        """Start a child; secrets belong in `environment`, since everyone may read a command line."""
        command = [sys.executable, "-m", self.module, *arguments]
        with self.log(name).open("ab" if self.keeps else "wb") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own command line
                command,
                stdin=self.tie,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which ends its children in order
            )

    def log(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int:
        """A child's process id."""
        return self._running[name].pid

    def kill(self, name: str, number: int) -> int:
        """Send a child a signal, wait until it has ended, and expect nothing more of it; its exit code."""
        process = self._running.pop(name)
        process.send_signal(number)
        return process.wait()

    def check(self) -> None:
        """Raises `Died` when a child has ended with an exit code other than 0."""
        for name, process in self._running.items():
            if process.poll():
                raise Died(f"{name} ended with exit code {process.returncode}")

    def wait(self, name: str, timeout: float | None = None) -> None:
        """Return when a child ends well, or after `timeout` seconds; raises `Died` when one ended otherwise."""
        with suppress(subprocess.TimeoutExpired):
            self._running[name].wait(timeout)
        self.check()

    def tails(self, lines: int = 15) -> str:
        """The end of every child's output."""
        parts = []
        for name in self._running:
            text = self.log(name).read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {self.log(name)}", *text]))
        return "\n".join(parts)

    def end(self) -> None:
        """End every child, the youngest first, and wait until it has ended."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self._running.values()):
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()
