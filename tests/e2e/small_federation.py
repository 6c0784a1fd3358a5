"""Two nodes on the digits, quick to train and always the same: one on the raw lane, one in-band in many chunks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lives import OPERATOR, PATIENCE_S, Lives

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
NAMES = ("raw", "inband")
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


class SmallFederation:
    """The two nodes, in this process, and every receipt that they were given."""

    def __init__(self, lives: Lives) -> None:
        self.lives = lives
        self.given = asyncio.Event()
        self.receipts: list[dict[str, Any]] = []
        self.task_id = ""

    async def create(self, **changes: Any) -> str:
        """The task, and a token for its nodes."""
        wanted = {"spec": SPEC | changes, "request_id": "small-federation"}
        async with Connection(Endpoint(self.lives.url, token=OPERATOR), patience_s=PATIENCE_S) as operator:
            try:
                created = await operator.call("create_task", wanted)
            except Refused as refused:
                if refused.code is not ErrorCode.STORAGE_FULL:  # that one says: try again
                    raise
                created = await operator.call("create_task", wanted)
            token = {"role": "node", "label": "tests", "request_id": "tests-nodes"}
            self.task_id = str(created["task_id"])
            return str((await operator.call("issue_token", token))["token"])

    async def train(self, token: str) -> None:
        """Both nodes work until the task is finished."""
        await asyncio.gather(self.node("raw", token).run(), self.node("inband", token).run())

    async def live(self, **changes: Any) -> None:
        await self.train(await self.create(**changes))

    async def shake_hands(self, name: str, token: str) -> dict[str, str]:
        """What every call of this node carries."""
        async with Connection(Endpoint(self.lives.url, token=token), patience_s=PATIENCE_S) as connection:
            with open_identity(key_of(self.lives.folder, name)) as identity:
                terms = await _member(connection, identity, self.lives).renew()
        return {"node_id": terms["node_id"], "node_token": terms["node_token"]}

    async def take_assignments_and_fall_silent(self, token: str) -> None:
        """Both nodes are selected and are not heard of again."""
        async with Connection(Endpoint(self.lives.url, token=token), patience_s=60) as connection:
            for wait_s in (0, 10):
                for index, name in enumerate(NAMES):
                    with open_identity(key_of(self.lives.folder, name)) as identity:
                        member = _member(connection, identity, self.lives)
                        await member.renew()
                        asked = {"task_id": self.task_id, "wait_s": wait_s, "partition_index": index}
                        assignment = await member.call("get_assignment", asked)
            assert assignment["action"] == "train"

    def node(self, lane: str, token: str) -> Node:
        """One of the two: `raw` or `inband`."""
        return Node(
            self.lives.url,
            self.task_id,
            token=token,
            index=NAMES.index(lane),
            lane="inband" if lane == "inband" else "auto",
            key=key_of(self.lives.folder, lane),
            on_event=self._heard,
        )

    def _heard(self, event: Event) -> None:
        if event.kind == "submitted":
            self.receipts.append(event.data["receipt"])
            self.given.set()


def key_of(folder: Path, name: str) -> Path:
    """A key that follows from the node's name, so that a run can be repeated."""
    key = folder / "keys" / f"{name}.pem"
    if not key.exists():
        write_key(key, Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")))
    return key


def _member(connection: Connection, identity: Identity, lives: Lives) -> Membership:
    return Membership(connection, identity, None, lives.url.removeprefix("http://"), lambda why, pause: None)
