"""The lives of one server: real processes on one data directory and port, each with a fault of its own or none.

They are forked from a process that has imported everything, so that a life begins in a fraction of a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from forked import become_potluck, forked
from mcp import Client
from mcp.client.subscriptions import SubscriptionLost

from edge_client.answers import Lost, result_of
from edge_client.connection import Connection
from edge_client.endpoint import Endpoint

OPERATOR = "operator-token-for-tests"
PATIENCE_S = 60.0
CLOCK = "CLOCK_OFFSET_FILE"
"""Names, in the environment of a life, a file with the seconds by which the system's clock has been set."""


class Lives:
    """A server that can die and begin again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self._context = forked()
        self._process: Any = None

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    async def start(self, fault: str | None = None, *flags: str, **environment: str) -> None:
        """A new life, with its fault; returns when it accepts connections."""
        arguments = ["serve", "--port", str(self.port), "--data-dir", str(self.data_dir), *flags]
        environment = os.environ | environment | {"POTLUCK_OPERATOR_TOKEN": OPERATOR}
        environment |= {"POTLUCK_FAULT": fault} if fault else {}
        self._process = self._context.Process(target=_live, args=(arguments, environment, str(self.log)))
        self._process.start()
        deadline = time.monotonic() + PATIENCE_S
        while not self._serves():
            assert self._process.is_alive(), f"the server ended: {self.said()}"
            assert time.monotonic() < deadline, f"the server does not come up: {self.said()}"
            await asyncio.sleep(0.01)

    async def ended(self) -> int:
        """Waits for the end of this life; its exit code, negative for a signal."""
        await asyncio.to_thread(self._process.join, PATIENCE_S)
        assert self._process.exitcode is not None, f"the server goes on: {self.said()}"
        return int(self._process.exitcode)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    def end(self) -> None:
        """Leaves no process behind."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join()

    def said(self) -> str:
        """What all lives wrote to their log."""
        return self.log.read_text() if self.log.exists() else ""

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Calls a tool as the operator, however often the server dies meanwhile."""
        async with Connection(Endpoint(self.url, token=OPERATOR), patience_s=PATIENCE_S) as connection:
            return await connection.call(tool, arguments)

    async def task_once(self, task_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The task once `condition` holds of it, looked at whenever the server says that it has changed."""

        async def look(client: Client) -> dict[str, Any]:
            try:
                async with client.listen(resource_subscriptions=[f"potluck://tasks/{task_id}"]) as changes:
                    while not condition(task := result_of(await client.call_tool("get_task", {"task_id": task_id}))):
                        if await anext(aiter(changes), None) is None:
                            raise Lost("the server ended the stream")
                    return task
            except SubscriptionLost as lost:
                raise Lost(str(lost)) from lost

        async with Connection(Endpoint(self.url, token=OPERATOR), patience_s=PATIENCE_S) as connection:
            return await connection.ask(look)

    def holds_the_data_directory(self) -> bool:
        """Whether this life has come as far as to lock it."""
        try:
            return (self.data_dir / "lock").read_text() == str(self.pid)
        except (OSError, AttributeError):
            return False

    def _serves(self) -> bool:
        try:
            return bool(json.loads((self.data_dir / "server.json").read_text())["pid"] == self.pid)
        except (OSError, ValueError):
            return False


def _live(arguments: list[str], environment: dict[str, str], log: str) -> None:
    """What the forked process does."""
    if offset := environment.get(CLOCK):
        real = time.time
        time.time = lambda: real() + float(Path(offset).read_text())
    become_potluck(arguments, environment, log)


def _free_port() -> int:
    """One that the system gives to no connection while no life listens on it, as it would a port that it chose."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
