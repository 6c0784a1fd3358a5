"""Hears a process out, within bounds: what it prints, what it answers, how long it takes and what it has in memory."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from orchestrator.sandbox.bounds import CALLER, CLOCK, MEMORY, OUTPUT, Bounds
from orchestrator.sandbox.watching import members, resident

MOST_WORDS = 64 << 10
_MOST_FENCES, _MOST_WORD = 40, 200
_TAIL = 2_000
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Begun:
    """What the process said before the code began.

    Attributes:
        held: the fences that are up.
        resident_bytes: what it had in memory.
        cpu_seconds: of CPU time that it had taken.
    """

    held: Sequence[str]
    resident_bytes: int
    cpu_seconds: int


class Heard:
    """What came of a process, and who has to stop it."""

    def __init__(
        self, child: subprocess.Popen[bytes], answering: int, bounds: Bounds, most_bytes: int, stop: Event
    ) -> None:
        assert child.stdout is not None  # noqa: S101 - asked for by whoever started it
        self.deadline = time.monotonic() + bounds.start_seconds
        self.printed, self.words = b"", bytearray()
        self.begun: Begun | None = None
        self.cpu_seconds = 0.0
        self._child, self._bounds, self._stop = child, bounds, stop
        self._printing = child.stdout.fileno()
        self._most = {self._printing: bounds.output_bytes, answering: most_bytes + MOST_WORDS}
        self._watched: list[int] = []

    def out(self) -> str:
        """Listen until all is closed and the process has ended; who has to stop it, or ""."""
        read = dict.fromkeys(self._most, 0)
        with selectors.DefaultSelector() as selector:
            for descriptor in self._most:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                if over := self._over():
                    return over
                for key, _ in selector.select(_LOOK_EVERY_S):
                    said = os.read(key.fd, 1 << 16)
                    if not said:
                        selector.unregister(key.fd)
                    read[key.fd] += len(said)
                    if read[key.fd] > self._most[key.fd]:
                        return OUTPUT
                    if key.fd == self._printing:
                        self.printed = (self.printed + said)[-_TAIL:]
                    else:
                        self.words += said
                        self._wind_up()
        while not self._ended():
            if over := self._over():
                return over
            self._stop.wait(_LOOK_EVERY_S / 5)
        return ""

    def _over(self) -> str:
        if self._stop.is_set():
            return CALLER
        if time.monotonic() >= self.deadline:
            return CLOCK
        if self.begun is not None:
            most = self.begun.resident_bytes + self._bounds.memory_bytes
            if sum(resident(process) for process in self._watched) > most:
                return MEMORY
        return ""

    def _wind_up(self) -> None:
        """With the first line the code begins, and so does its time. It can start no process."""
        if self.begun is None and b"\n" in self.words:
            line, _, rest = bytes(self.words).partition(b"\n")
            self.begun, self.words = _begun(line), bytearray(rest)
            self.deadline = time.monotonic() + self._bounds.clock_seconds
            self._watched = members(self._child.pid)

    def _ended(self) -> bool:
        """Waits itself: nothing else says how much CPU time the process and those that it waited for have taken."""
        process, status, usage = os.wait4(self._child.pid, os.WNOHANG)
        if process == 0:
            return False
        self._child.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return True


def _begun(line: bytes) -> Begun:
    said = parsed(line)
    held = [clean(each, _MOST_WORD) for each in said["held"][:_MOST_FENCES]]
    return Begun(held, int(said["resident_bytes"]), int(said["cpu_seconds"]))


def parsed(line: bytes) -> Any:
    """A line of JSON; None where it is too long, or none, or nested beyond measure."""
    try:
        return json.loads(line) if len(line) <= MOST_WORDS else None
    except (ValueError, RecursionError):
        return None


def clean(text: object, most: int) -> str:
    """Text of code's, fit for any encoding and any terminal: no half of a character, nothing that steers."""
    shown = str(text)[:most].encode("utf-8", "replace").decode()
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in shown)
