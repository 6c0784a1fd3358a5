"""A federation without network or real models: a clock that is moved by hand, a model of three numbers."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.base_pin import BasePin
from federation.coordinator.assignments import Assignment
from federation.coordinator.federation import Federation, open_federation
from federation.coordinator.ports import Bounds, Workload, Written
from federation.coordinator.standing import now_standing
from federation.coordinator.submissions import Receipt, Submission
from federation.evaluation import Evaluation
from federation.identity import PublicKey, b64url, handshake_message, update_message
from federation.spec import Problem, TaskSpec
from federation.weights import load, pack_update
from tests.new_databases import begin

HOST = "here"


class Clock:
    """Unix seconds, moved by tests alone."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class ThreeNumbers:
    """A workload whose model is three numbers and whose accuracy is their mean."""

    def check(self, spec: TaskSpec) -> list[Problem]:
        if spec.model.id == "broken":
            return [Problem(field="model.id", problem="no such model", mend="choose another")]
        return []

    def settle(self, spec: TaskSpec) -> TaskSpec:
        return spec

    def pin(self, spec: TaskSpec) -> BasePin | None:
        return None

    def schema_for(self, spec: TaskSpec, base: BasePin | None = None) -> tuple[tuple[int, ...], int]:
        return (1,), 2

    def initial_weights(self, spec: TaskSpec, base: BasePin | None = None) -> dict[str, torch.Tensor]:
        return {"w": torch.zeros(3)}

    def trained(self, spec: TaskSpec) -> frozenset[str]:
        return frozenset({"w"})

    def evaluate(
        self, spec: TaskSpec, weights: Mapping[str, torch.Tensor], base: BasePin | None = None
    ) -> Evaluation | None:
        mean = float(weights["w"].mean())
        if mean > 900:
            raise RuntimeError("the evaluation broke")
        return Evaluation(num_examples=10, loss=1 - mean, accuracy=mean, per_class_accuracy=[mean, None])

    def predict(
        self, spec: TaskSpec, weights: Mapping[str, torch.Tensor], inputs: list[Any], base: BasePin | None = None
    ) -> tuple[list[int], list[list[float]]]:
        return [0 for _ in inputs], [[1.0, 0.0] for _ in inputs]

    def write(
        self, spec: TaskSpec, weights: Mapping[str, torch.Tensor], prompts: list[str], base: BasePin, bounds: Bounds
    ) -> list[Written]:
        return [Written(prompt[: bounds.max_tokens], bounds.max_tokens, "length") for prompt in prompts]


class World:
    """One federation and its clock."""

    def __init__(self, federation: Federation, clock: Clock) -> None:
        self.federation = federation
        self.clock = clock

    async def task(self, **changes: Any) -> str:
        """A started task for two nodes."""
        raw = {
            "name": "three numbers",
            "model": {"id": "mlp"},
            "data": {"id": "digits", "partition": {"parts": 8}},
            "cohort": {"size": 2},
            "rounds": 3,
            "deadline_s": 100,
            "lease_s": 20,
        } | changes
        request_id = f"request-{hashlib.sha256(repr(raw).encode()).hexdigest()[:8]}"
        task, _ = await self.federation.tasks.create(raw, request_id=request_id, start=True, actor="test")
        return task.task_id

    async def node(self, name: str) -> Node:
        """A node that has shaken hands."""
        node = Node(self, name)
        await node.shake_hands()
        return node

    async def join(self, task_id: str, node: Node) -> None:
        """Makes the node a member, without a word about work."""
        async with self.federation.shared.database.read() as connection:
            standing = await now_standing(connection, task_id, node.row["node_id"])
        await self.federation.assignments._membership.join(standing, node.row, wanted=None, own_data=False)

    async def review(self) -> None:
        """Closes what is due, and waits until it is closed."""
        await self.federation.closer.review()
        await self.federation.closer.finish()

    async def pass_time(self, seconds: float) -> None:
        """Moves the clock, then closes what is due."""
        self.clock.now += seconds
        await self.review()

    async def round(self, task_id: str, number: int) -> dict[str, Any]:
        """A round as people see it."""
        return await self.federation.views.round(task_id, number)

    async def weights(self, task_id: str, version: int | None = None) -> torch.Tensor:
        """The three numbers."""
        _, model = await self.federation.models.version(task_id, version)
        return load(self.federation.shared.spool.path(model.sha256))["w"].clone()


class Node:
    """A node that does what a test tells it, right or wrong."""

    def __init__(self, world: World, name: str) -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
        self.public = PublicKey(
            "ed25519", {"kty": "OKP", "crv": "Ed25519", "x": b64url(self.key.public_key().public_bytes_raw())}
        )
        self.node_id = self.public.node_id
        self._federation = world.federation

    async def shake_hands(self, enrolment: str = "anonymous") -> str:
        """A handshake; the node token."""
        handshakes = self._federation.handshakes
        challenge = (await handshakes.challenge(self.public)).challenge
        welcome = await handshakes.accept(
            self.public,
            audience=HOST,
            challenge=challenge,
            signature=self.sign(handshake_message(HOST, challenge)),
            name="",
            capabilities={},
            enrolment=enrolment,
        )
        self.row = await handshakes.authenticate(self.node_id, welcome.node_token, enrolment)
        return welcome.node_token

    def sign(self, message: bytes) -> str:
        return b64url(self.key.sign(message))

    async def ask(self, task_id: str, **arguments: Any) -> Assignment:
        """`get_assignment` without waiting."""
        arguments = {"wait_s": 0.0, "partition_index": None, "own_data": False} | arguments
        return await self._federation.assignments.get(self.row, task_id, **arguments)

    async def submit(
        self,
        task_id: str,
        number: int,
        delta: float,
        *,
        examples: int = 10,
        base: int | None = None,
        metrics: dict[str, float] | None = None,
    ) -> Receipt:
        """Uploads and submits a delta of three equal numbers."""
        submission = await self.prepared(task_id, number, delta, examples=examples, base=base)
        submission.metrics.update(metrics or {})
        return await self._federation.submissions.submit(self.row, submission)

    async def prepared(
        self,
        task_id: str,
        number: int,
        delta: float,
        *,
        examples: int = 10,
        base: int | None = None,
        aux: dict[str, torch.Tensor] | None = None,
        payload: bytes | None = None,
    ) -> Submission:
        """The same, uploaded and signed but not submitted; `aux` is its second set, `payload` another file instead."""
        payload = pack_update({"w": torch.full((3,), delta)}, aux) if payload is None else payload
        sha256 = hashlib.sha256(payload).hexdigest()
        base = number - 1 if base is None else base
        upload, offset, _ = await self._federation.uploads.begin(
            self.node_id, task_id, number=number, base_version=base, sha256=sha256, size=len(payload)
        )
        if offset < len(payload):  # what begin_upload calls `received`
            with self._federation.shared.spool.receive(upload.upload_id, sha256, len(payload)) as incoming:
                incoming.write(payload)
                incoming.finish()
            await self._federation.uploads.finish(upload)
        counts = {"num_examples": examples, "num_steps": 1}
        where = {"task_id": task_id, "round": number, "base_version": base}
        message = update_message(node_id=self.node_id, sha256=sha256, **where, **counts)
        return Submission(
            **where,
            **counts,
            metrics={"train_loss": 0.5, "eval_accuracy": 0.25, "eval_examples": float(examples)},
            signature=self.sign(message),
            upload_id=upload.upload_id,
            inline_b64=None,
        )


@asynccontextmanager
async def open_world(
    data_dir: Path,
    clock: Clock | None = None,
    monotonic: Clock | None = None,
    *,
    clockwork: bool = False,
    workload: Workload | None = None,
) -> AsyncIterator[World]:
    """A world on `data_dir`; opened again on the same folder it is a server that restarts."""
    clock = clock or Clock()
    begin(data_dir)
    time = {} if clockwork else {"clock": clock, "monotonic": monotonic or clock}
    async with open_federation(data_dir, workload or ThreeNumbers(), clockwork=clockwork, **time) as federation:
        yield World(federation, clock)
