"""A server with real Python nodes, for tests that are no coroutines; and what it keeps, read from its disk."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from anyio.from_thread import BlockingPortal
from evidence import rows
from forked import ForkedChildren
from machine import Machine, spec
from numpy.typing import NDArray
from safetensors.numpy import load_file

Tensors = dict[str, NDArray[np.float64]]
_UPDATES = """
    SELECT node_id, sha256, num_examples, num_steps, json_extract(metrics, '$.train_loss')
    FROM updates WHERE task_id = ? AND round = ? ORDER BY node_id
"""
_VERSION = "SELECT sha256 FROM model_versions WHERE task_id = ? AND version = ?"


@dataclass(frozen=True)
class Update:
    """One accepted update, as the server has it."""

    node_id: str
    sha256: str
    num_examples: int
    num_steps: int
    train_loss: float


class TabFederation:
    """One server, its operator's calls, and its nodes."""

    def __init__(self, machine: Machine, portal: BlockingPortal) -> None:
        self.machine = machine
        self._portal = portal

    @property
    def page(self) -> str:
        """Where tabs go."""
        return f"{self.machine.url}/edge/"

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """As the operator."""
        return self._portal.call(partial(self.machine.call, tool, **arguments))

    def create(self, **changes: Any) -> str:
        """A task on the digits for one node, with changes; its id."""
        alone = {"data": {"id": "digits", "partition": {"kind": "iid", "parts": 1}}, "cohort": {"size": 1}}
        return str(self.call("create_task", spec=spec(**(alone | changes)), request_id=uuid.uuid4().hex)["task_id"])

    def join(self, name: str, task_id: str, *flags: str) -> None:
        """Starts a Python node."""
        token = self._portal.call(self.machine.node_token)
        self.machine.start_node(name, task_id, token, *flags)

    def once(self, task_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The task, as soon as `condition` holds of it."""
        return self._portal.call(partial(self.machine.wait_for, task_id, condition, timeout=100))

    def finished(self, task_id: str) -> dict[str, Any]:
        return self.once(task_id, lambda task: bool(task["state"] == "finished"))

    def updates(self, task_id: str, round: int) -> list[Update]:
        return [Update(*row) for row in rows(self.machine.data_dir, _UPDATES, task_id, round)]

    def model(self, task_id: str, version: int) -> Tensors:
        """A version of the global model, in float64."""
        [(sha256,)] = rows(self.machine.data_dir, _VERSION, task_id, version)
        return self.tensors(sha256)

    def delta(self, update: Update) -> Tensors:
        """What a node sent, by the names of the model's tensors."""
        return {name.removeprefix("delta/"): tensor for name, tensor in self.tensors(update.sha256).items()}

    def tensors(self, sha256: str) -> Tensors:
        blob = self.machine.data_dir / "spool" / "blobs" / sha256[:2] / sha256
        return {name: tensor.astype(np.float64) for name, tensor in load_file(blob).items()}

    def metric(self, name: str) -> float:
        """The sum of the samples of /metrics that begin so."""
        headers = {"Authorization": f"Bearer {self.machine.operator}"}
        lines = httpx2.get(f"{self.machine.url}/metrics", headers=headers).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@contextmanager
def federation(folder: Path, portal: BlockingPortal) -> Iterator[TabFederation]:
    """A machine whose processes end with the test."""
    with ForkedChildren(folder / "logs") as children:
        yield TabFederation(Machine(folder, children), portal)
