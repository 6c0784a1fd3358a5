"""A simulation in a process of its own, seen from the server: started, listened to, ended.

Each line on the child's standard output is a JSON object: `{"trained": {round, done, clients}}`, `{"round": n}` when
the files of round n are written, `{"refused": {code, problem, mend}}`. On its standard input it gets one line that
says what to simulate, and then an empty line for each round that has been stored: it never is more than one round
ahead. The end of its input is the end of the server, and the child's: so no simulation outlives the server, however
that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
MARK = "POTLUCK_SIMULATION"
"""Names the folder in the environment of the child and its workers, so that they can be told from others."""
_LOG = "log"


class Child:
    """A child process and its folder."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def pid(self) -> int:
        """Its process id, and its group's: the workers that it starts belong to that."""
        return self._process.pid

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """What it says, until it ends."""
        assert self._process.stdout is not None  # noqa: S101 - it was started with a pipe
        while line := await self._process.stdout.readline():
            yield json.loads(line)

    async def stored(self) -> None:
        """Tells it that a round is stored, so that it may report the next one."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was started with a pipe
        with suppress(ConnectionError):  # it has just ended: its messages end, too
            stdin.write(b"\n")
            await stdin.drain()

    def kill(self) -> None:
        """Ends it now, with its workers."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def last_words(self) -> str:
        """How it ended, for people; call it when its messages have ended."""
        code = await self._process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed (signal 9), most likely because the machine ran out of memory"
        if code < 0:
            return f"its process was ended by signal {-code}"
        lines = (self._folder / _LOG).read_text(errors="replace").strip().splitlines()
        said = f": {lines[-1][:300]}" if lines else ""
        return f"its process ended with exit code {code}{said}"


@asynccontextmanager
async def started(command: Sequence[str], request: dict[str, Any], folder: Path, root: Path) -> AsyncIterator[Child]:
    """A child that simulates what `request` says, for as long as the context lasts.

    It works where the server does, so that paths in the environment mean the same.

    Args:
        root: where Python finds the module of `command`.
        folder: the child's own, for all files of size, temporary ones as well.
    """
    environment = os.environ | ONE_THREAD | {MARK: str(folder)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    with (folder / _LOG).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    child = Child(process, folder)
    try:
        assert process.stdin is not None  # noqa: S101 - a pipe
        with suppress(ConnectionError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
        yield child
    finally:
        child.kill()
        await asyncio.shield(_reaped(process))


async def _reaped(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe
    assert process.stdout is not None  # noqa: S101 - a pipe
    process.stdin.close()
    await process.stdout.read()
    await process.wait()
    with suppress(ConnectionError):
        await process.stdin.wait_closed()
