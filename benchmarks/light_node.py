"""A node on a bare socket: the protocol's steps one by one, so that a benchmark may stop between any two."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.wire import Wire
from federation.identity import b64url, update_message

CAPABILITIES = {"runtime": "benchmark", "device": "cpu", "codecs": ["none"], "methods": ["fedavg", "lora_exact"]}


class LightNode:
    """Holds a key and a node token. `assignment` is the last one that was answered."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.wire = wire
        self.name = name
        self.node_id = self._token = ""
        self.assignment: dict[str, Any] = {}
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())

    async def shake_hands(self) -> None:
        """Both calls."""
        x = b64url(self._key.public_key().public_bytes_raw())
        hello: dict[str, Any] = {
            "public_key": {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}},
            "capabilities": CAPABILITIES,
            "audience": self.wire.netloc,
            "name": self.name,
        }
        challenge = await self.wire.call("handshake", **hello)
        signature = b64url(self._key.sign(challenge["sign"].encode()))
        proof = {"challenge": challenge["challenge"], "signature": signature}
        welcome = await self.wire.call("handshake", **hello, **proof)
        self.node_id, self._token = welcome["node_id"], welcome["node_token"]

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A node tool."""
        return await self.wire.call(tool, node_id=self.node_id, node_token=self._token, **arguments)

    async def ask(self, task_id: str, **arguments: Any) -> dict[str, Any]:
        """get_assignment."""
        self.assignment = await self.call("get_assignment", task_id=task_id, **arguments)
        return self.assignment

    async def model(self) -> bytes:
        """The assigned model, by the raw lane."""
        return await self.wire.get(self.assignment["model"]["url"])

    async def begin(self, payload: bytes) -> dict[str, Any]:
        """begin_upload."""
        return await self.call("begin_upload", **self._where(), sha256=_sha256(payload), size=len(payload))

    async def chunks(self, upload_id: str, payload: bytes, size: int) -> None:
        """The in-band lane."""
        for offset in range(0, len(payload), size):
            data = base64.b64encode(payload[offset : offset + size]).decode()
            await self.call("upload_chunk", upload_id=upload_id, offset=offset, data_b64=data)

    async def submit(self, payload: bytes, upload_id: str, *, num_examples: int = 1, **metrics: float) -> None:
        """submit_update; what comes next becomes the assignment."""
        counts: dict[str, Any] = {"num_examples": num_examples, "num_steps": 1}
        message = update_message(node_id=self.node_id, sha256=_sha256(payload), **self._where(), **counts)
        commit = self._where() | counts | {"upload_id": upload_id, "signature": b64url(self._key.sign(message))}
        self.assignment = (await self.call("submit_update", **commit, metrics=metrics or None))["next"]

    def _where(self) -> dict[str, Any]:
        work = self.assignment
        return {"task_id": work["task_id"], "round": work["round"], "base_version": work["model"]["version"]}


def _sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
