"""One machine's worth of real processes: a server on its data directory, and nodes."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import anyio
import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from edge_client.identity import write_key
from federation.fault_points import VARIABLE
from potluck.processes import Children, Died

OPERATOR = "operator-token-for-tests"
PATIENCE_S = 300.0


class Machine:
    """One machine's worth of processes: a server on its data directory, and nodes."""

    def __init__(self, folder: Path, children: Children) -> None:
        self.folder = folder
        self.children = children
        self.data_dir = folder / "data"
        self.url = ""
        self.operator = OPERATOR
        self._starts = 0

    def start_server(
        self, *flags: str, port: int = 0, operator: str | None = OPERATOR, environment: dict[str, str] | None = None
    ) -> None:
        """Starts the server, with a preset operator's token or without, and waits until it accepts connections."""
        address = self.data_dir / "server.json"
        address.unlink(missing_ok=True)
        self._starts += 1
        self.server = f"server-{self._starts}"
        arguments = ["serve", "--port", str(port), "--data-dir", str(self.data_dir), *flags]
        preset = {"POTLUCK_OPERATOR_TOKEN": operator} if operator else {}
        self.children.start(self.server, arguments, preset | (environment or {}))
        self.wait_for_address()

    def wait_for_address(self) -> None:
        """Waits until a server on the data directory, whoever started it, accepts connections."""
        address = self.data_dir / "server.json"
        self._until(address.exists, "the server accepts connections")
        self.url = json.loads(address.read_text())["url"]

    def kill_server(self, *flags: str) -> None:
        """SIGKILL, if it has not died before, then a new server on the same port and data directory."""
        port = int(self.url.rpartition(":")[2])
        self.children.kill(self.server, signal.SIGKILL)
        self.start_server(*flags, port=port)

    def stop_server(self) -> int:
        """SIGTERM; the exit code."""
        return self.children.kill(self.server, signal.SIGTERM)

    def said(self) -> str:
        """What the server wrote to its log."""
        return self.children.log(self.server).read_text()

    def start_node(
        self, name: str, task_id: str, token: str, *flags: str, url: str | None = None, fault: str | None = None
    ) -> None:
        """Starts a node whose key follows from its name, so that a run can be repeated; perhaps with a fault."""
        key = self.folder / "keys" / f"{name}.pem"
        if not key.exists():
            write_key(key, Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")))
        arguments = ["join", url or self.url, "--task", task_id, "--key", str(key), "--name", name, *flags]
        self.children.start(name, arguments, {"POTLUCK_TOKEN": token} | ({VARIABLE: fault} if fault else {}))

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Calls a tool as the operator."""
        async with Connection(Endpoint(self.url, token=self.operator), patience_s=20) as connection:
            return await connection.call(tool, arguments)

    def as_caller(self, token: str) -> Machine:
        """The same machine, its tools called with another token."""
        other = copy(self)
        other.operator = token
        return other

    async def token(self, role: str) -> str:
        """A token of this role."""
        return str((await self.call("issue_token", role=role, label="tests", request_id=f"tests-{role}"))["token"])

    async def node_token(self) -> str:
        """A token that enrols nodes."""
        return await self.token("node")

    async def wait_for(
        self, task_id: str, condition: Callable[[dict[str, Any]], bool], timeout: float = PATIENCE_S
    ) -> dict[str, Any]:
        """The task, once `condition(task)` holds; listens for changes instead of asking over and over."""
        endpoint = Endpoint(self.url, token=self.operator)
        deadline = time.monotonic() + timeout
        async with (
            endpoint.http() as http,
            Client(streamable_http_client(f"{self.url}/mcp", http_client=http)) as client,
            client.listen(resource_subscriptions=[f"potluck://tasks/{task_id}"]) as changes,
        ):
            while True:
                task = (await client.call_tool("get_task", {"task_id": task_id})).structured_content
                assert task is not None
                if condition(task):
                    return task
                self._check_children()
                assert time.monotonic() < deadline, f"still waiting: {task['rounds'][-1:]}\n{self.children.tails()}"
                with anyio.move_on_after(5):  # or until a child has ended
                    await anext(aiter(changes))

    def _check_children(self) -> None:
        """Raises `Died`, with what every child said last, when one has ended in an error."""
        try:
            self.children.check()
        except Died as died:
            died.add_note(self.children.tails())
            raise

    def bulk_bytes(self) -> dict[tuple[str, str], float]:
        """Bytes of models and updates by lane and direction, from /metrics."""
        text = httpx2.get(f"{self.url}/metrics", headers={"Authorization": f"Bearer {self.operator}"}).text
        pattern = r'potluck_bulk_bytes_total\{direction="([a-z]+)",lane="([a-z-]+)"\} (\S+)'
        return {(lane, direction): float(size) for direction, lane, size in re.findall(pattern, text)}

    def _until(self, condition: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
        ticker, deadline = threading.Event(), time.monotonic() + timeout
        while not condition():
            self._check_children()
            assert time.monotonic() < deadline, f"waited {timeout:g} s until {what}\n{self.children.tails()}"
            ticker.wait(0.05)


def spec(**changes: Any) -> dict[str, Any]:
    """A small task on digits for two nodes."""
    return {
        "name": "digits",
        "model": {"id": "mlp"},
        "data": {"id": "digits", "partition": {"kind": "iid", "parts": 2}},
        "training": {"epochs": 1, "learning_rate": 0.1, "momentum": 0.9},
        "cohort": {"size": 2, "min_nodes": 2, "quorum": 2},
        "rounds": 3,
        "seed": 7,
    } | changes
