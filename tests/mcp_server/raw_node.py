"""A node in single steps, each of which a test can take wrongly."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx2
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import save

from federation.identity import b64url
from tests.mcp_server.rpc import Refusal, Rpc
from tests.mcp_server.running import Served

CAPABILITIES = {"runtime": "test", "device": "cpu", "codecs": ["none"], "methods": ["fedavg"]}
SHAPES = {"output.weight": (10, 64), "output.bias": (10,)}  # of `logistic` on the digits


def zeros() -> dict[str, torch.Tensor]:
    """A delta that changes nothing, as a node names its tensors."""
    return {f"delta/{name}": torch.zeros(shape) for name, shape in SHAPES.items()}


def packed(tensors: dict[str, torch.Tensor] | None = None, *, value: float = 0.0) -> bytes:
    """The file of an update: `tensors`, or a delta that is `value` everywhere."""
    if tensors is None:
        tensors = {name: torch.full_like(tensor, value) for name, tensor in zeros().items()}
    return save(tensors)


def sha256(data: bytes) -> str:
    """In hex."""
    return hashlib.sha256(data).hexdigest()


class RawNode:
    """Holds a key and a node token; every argument of a call can be overridden."""

    def __init__(self, served: Served, rpc: Rpc, key: Ed25519PrivateKey | None = None) -> None:
        self.served, self.rpc = served, rpc
        self.key = key or Ed25519PrivateKey.generate()
        self.node_id = self.node_token = self.task_id = ""
        self.assignment: dict[str, Any] = {}

    @property
    def public_key(self) -> dict[str, Any]:
        """As handshake takes it."""
        x = b64url(self.key.public_key().public_bytes_raw())
        return {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}}

    async def hello(self, **changes: Any) -> dict[str, Any]:
        """One call of handshake."""
        self.served.clock.now += 0.001  # no two handshakes at one instant
        arguments = {
            "public_key": self.public_key,
            "capabilities": CAPABILITIES,
            "audience": self.served.host,
        }
        return await self.rpc.call("handshake", **(arguments | changes))

    async def proof(self, **changes: Any) -> dict[str, Any]:
        """The arguments of the second call: a fresh challenge, signed."""
        challenge = await self.hello(**changes)
        return {
            "challenge": challenge["challenge"],
            "signature": b64url(self.key.sign(challenge["sign"].encode())),
        } | changes

    async def shake_hands(self, **changes: Any) -> RawNode:
        """Both calls."""
        welcome = await self.hello(**await self.proof(**changes))
        self.node_id, self.node_token = welcome["node_id"], welcome["node_token"]
        return self

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A node tool, with this node's id and token."""
        return await self.rpc.call(tool, **({"node_id": self.node_id, "node_token": self.node_token} | arguments))

    async def join(self, task_id: str, **changes: Any) -> dict[str, Any]:
        """get_assignment, kept for what follows."""
        self.task_id = task_id
        self.assignment = await self.call("get_assignment", task_id=task_id, **changes)
        return self.assignment

    @property
    def where(self) -> dict[str, Any]:
        """task_id, round and base_version of the assignment."""
        version = self.assignment.get("model", {}).get("version", 0)
        return {"task_id": self.task_id, "round": self.assignment.get("round", 1), "base_version": version}

    async def begin(self, data: bytes, **changes: Any) -> dict[str, Any]:
        """begin_upload."""
        return await self.call("begin_upload", **(self.where | {"sha256": sha256(data), "size": len(data)} | changes))

    async def put(self, url: str, data: Any, **headers: str) -> dict[str, Any]:
        """The raw lane. Raises Refusal with the HTTP status."""
        return answer_of(await self.served.http.put(f"/{url}", content=data, headers=headers))

    async def chunk(self, upload_id: str, offset: int, data: bytes) -> dict[str, Any]:
        """upload_chunk."""
        encoded = base64.b64encode(data).decode()
        return await self.call("upload_chunk", upload_id=upload_id, offset=offset, data_b64=encoded)

    def signature(self, data: bytes, **changes: Any) -> str:
        """Over an update as submitted, or as changed."""
        fields = {"node_id": self.node_id, **self.where, "sha256": sha256(data), "num_examples": 100, "num_steps": 10}
        fields |= changes
        return b64url(self.key.sign("\n".join(["potluck-update-v1", *map(str, fields.values())]).encode()))

    def submission(self, data: bytes, **changes: Any) -> dict[str, Any]:
        """The arguments of submit_update but for the bytes; the signature covers the changes."""
        arguments = self.where | {"num_examples": 100, "num_steps": 10} | changes
        names = ("task_id", "round", "base_version", "num_examples", "num_steps")
        return {"signature": self.signature(data, **{name: arguments[name] for name in names})} | arguments

    async def submit(self, data: bytes, upload_id: str, **changes: Any) -> dict[str, Any]:
        """submit_update of uploaded bytes."""
        return await self.call("submit_update", upload_id=upload_id, **self.submission(data, **changes))

    async def submit_inline(self, data: bytes, **changes: Any) -> dict[str, Any]:
        """submit_update with the bytes in it."""
        encoded = base64.b64encode(data).decode()
        return await self.call("submit_update", **({"inline_b64": encoded} | self.submission(data, **changes)))

    async def deliver(self, data: bytes, *, lane: str = "raw", **changes: Any) -> dict[str, Any]:
        """An update by one of the three ways: raw, chunks, inline."""
        if lane == "inline":
            return await self.submit_inline(data, **changes)
        begun = await self.begin(data)
        if lane == "raw":
            await self.put(begun["url"], data)
        else:
            half = len(data) // 2
            await self.chunk(begun["upload_id"], 0, data[:half])
            await self.chunk(begun["upload_id"], half, data[half:])
        return await self.submit(data, begun["upload_id"], **changes)


def answer_of(response: httpx2.Response) -> dict[str, Any]:
    """The body of a good answer of the raw lane; a refusal is raised."""
    body: dict[str, Any] = response.json()
    if "error" in body:
        raise Refusal(body["error"], response.status_code)
    assert response.status_code == 200
    return body


async def enrolled(served: Served, token: str | None = None) -> RawNode:
    """A node that has shaken hands, under an enrolment token of its own unless told otherwise."""
    secret = token or (await served.token("node")).secret
    return await RawNode(served, served.rpc(secret)).shake_hands()


async def cohort(served: Served, size: int = 2, **changes: Any) -> list[RawNode]:
    """Nodes that are selected for round 1 of a new task, which wants all of their updates."""
    nodes = [await enrolled(served) for _ in range(size)]
    task_id = await served.task(**({"cohort": {"size": size}} | changes))
    for node in nodes:
        await node.join(task_id)
    for node in nodes:
        await node.join(task_id)
        assert node.assignment["action"] == "train"
    return nodes
