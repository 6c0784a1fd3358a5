"""Real processes that begin in a fraction of a second: forked from one that has imported already what takes long.

What they do from there on is what the command line does. That itself starts well is for the tests of the server's
process, of hosts at standard streams, of the demo and of the tutorials.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess

from potluck.processes import Children

# One list, since what the first of them asks for is what all get.
_IMPORTED = [
    "mcp_server.run",
    "potluck.serve",
    "potluck.join",
    "edge_client.node",
    # What these import when they first run.
    "aiosqlite",
    "anyio._backends._asyncio",
    "httpcore2",
    "jsonschema",
    "peft",  # and transformers, for the few that train language models
    "numpy.random",
    "potluck.pages",
    "rich.logging",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "threadpoolctl",
    "torch.utils._device",
    "transformers.models.llama.modeling_llama",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvloop",
]


def forked() -> ForkServerContext:
    """Makes such processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def become_potluck(arguments: list[str], environment: Mapping[str, str], log: str) -> None:
    """What a forked process does: become `potluck …`, as the command line would. Its output is added to the log."""
    from federation import fault_points
    from potluck.cli import main

    gc.freeze()  # what was there before the fork is no garbage: looking at it all would take a third of a second
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.clear()
    os.environ.update(environment)
    fault_points.arm(environment.get(fault_points.VARIABLE))
    sys.argv = ["potluck", *arguments]
    main()


class ForkedChildren(Children):
    """`Children` that are forked."""

    def start(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.log(name).write_bytes(b"")
        given = (arguments, os.environ | environment, str(self.log(name)))
        process = forked().Process(target=_be_a_child, args=given)
        process.start()
        self._running[name] = _Running(process)  # type: ignore[assignment]


def _be_a_child(arguments: list[str], environment: Mapping[str, str], log: str) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    become_potluck(arguments, environment, log)


class _Running:
    """A forked process, used as a subprocess.Popen."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self._reading = threading.Lock()  # of the exit code, which can be read once

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        with self._reading:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("potluck", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
