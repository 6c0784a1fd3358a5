"""Two nodes on the digits, quick to train and always the same: one on the raw lane, one in-band in many chunks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lives import OPERATOR, Lives

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from edge_client.events import Event
from edge_client.identity import Identity, open_identity, write_key
from edge_client.membership import Membership
from edge_client.node import Node
from edge_client.transfer import Lanes
from federation.errors import ErrorCode, Refused

CHUNK = 32 << 10
ROUNDS = 2
SPEC: dict[str, Any] = {
    "name": "digits",
    "model": {"id": "mlp", "options": {"hidden": 256}},  # 77 kB: more than goes inline
    "data": {"id": "digits", "partition": {"kind": "iid", "parts": 2}},
    "training": {"epochs": 1, "learning_rate": 0.1, "batch_size": 128},
    "cohort": {"size": 2, "min_nodes": 2, "quorum": 2},
    "rounds": ROUNDS,
    "keep_rounds": 1,
    "seed": 7,
}


class SmallChunks(Lanes):
    """Lanes whose in-band updates need more than one chunk."""

    def __init__(self, *args: Any, chunk_max_bytes: int, **kwargs: Any) -> None:
        super().__init__(*args, chunk_max_bytes=min(CHUNK, chunk_max_bytes), **kwargs)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_client.node.Lanes", SmallChunks)


class SmallFederation:
    """The two nodes, in this process, and every receipt that they were given."""

    def __init__(self, lives: Lives) -> None:
        self.lives = lives
        self.receipts: list[dict[str, Any]] = []
        self.task_id = ""

    async def create(self, **changes: Any) -> str:
        """The task, and a token for its nodes."""
        try:
            created = await self._create(changes)
        except Refused as refused:  # which says what to do: repeat it
            assert refused.code is ErrorCode.STORAGE_FULL
            created = await self._create(changes)
        self.task_id = str(created["task_id"])
        issued = await self.lives.call("issue_token", role="node", label="tests", request_id="tests-nodes")
        return str(issued["token"])

    async def _create(self, changes: dict[str, Any]) -> dict[str, Any]:
        return await self.lives.call("create_task", spec=SPEC | changes, request_id="small-federation")

    async def train(self, token: str) -> None:
        """Both nodes work until the task is finished."""
        await asyncio.gather(self._node("raw", token, 0).run(), self._node("inband", token, 1).run())

    async def live(self, **changes: Any) -> None:
        await self.train(await self.create(**changes))

    async def take_assignments_and_fall_silent(self, token: str) -> None:
        """Both nodes are selected and are not heard of again."""
        async with Connection(Endpoint(self.lives.url, token=token), patience_s=60) as connection:
            for wait_s in (0, 10):
                for index, name in enumerate(("raw", "inband")):
                    with open_identity(key_of(self.lives.folder, name)) as identity:
                        member = _member(connection, identity, self.lives)
                        await member.renew()
                        asked = {"task_id": self.task_id, "wait_s": wait_s, "partition_index": index}
                        assignment = await member.call("get_assignment", asked)
            assert assignment["action"] == "train"

    def _node(self, lane: str, token: str, index: int) -> Node:
        return Node(
            self.lives.url,
            self.task_id,
            token=token,
            index=index,
            lane="inband" if lane == "inband" else "auto",
            key=key_of(self.lives.folder, lane),
            on_event=self._heard,
        )

    def _heard(self, event: Event) -> None:
        if event.kind == "submitted":
            self.receipts.append(event.data["receipt"])


def key_of(folder: Path, name: str) -> Path:
    """A key that follows from the node's name, so that a run can be repeated."""
    key = folder / "keys" / f"{name}.pem"
    if not key.exists():
        write_key(key, Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")))
    return key


def _member(connection: Connection, identity: Identity, lives: Lives) -> Membership:
    return Membership(connection, identity, None, lives.url.removeprefix("http://"), lambda why, pause: None)


__all__ = ["OPERATOR", "ROUNDS", "SPEC", "SmallFederation", "key_of", "small_chunks"]
