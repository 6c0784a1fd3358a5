"""A node's life: shake hands, ask for work, train, send what changed, ask again. The data stays where it is.

What a crash must not cost is on disk before the next step: see `state_folder`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from edge_client.asking import Asking
from edge_client.checkpoints import EVERY_S
from edge_client.connection import Connection
from edge_client.data import Shares, own_examples, own_path
from edge_client.delivery import MISSED, Delivery
from edge_client.endpoint import Endpoint, Transport
from edge_client.events import Event, Kind, Summary
from edge_client.identity import open_identity
from edge_client.labour import Labour
from edge_client.membership import Membership
from edge_client.models import Models
from edge_client.state_folder import StateFolder, open_state, state_root
from edge_client.transfer import Lane, Lanes
from federation.errors import Refused
from federation.fault_points import reach
from federation.spec import parse_spec
from federation.trainer import Trainer, check_trainable

GOODBYE_S = 1.5
"""How long a node that leaves tries to say so, in seconds."""


class Node:
    """One participant of one task.

    Args:
        url: the server's base URL, e.g. http://127.0.0.1:7860.
        task_id: the task to work on.
        token: bearer token, where the server wants one.
        data: a path to the node's own data, or the id of the task's data set (the default).
        index: which part of the partition to hold; default: one that the server says is free.
        transport: "http" (Streamable HTTP) or "sse".
        lane: "auto" moves tensors over raw HTTP where possible, "inband" only through MCP.
        key: file of the node's Ed25519 key, made if missing; default: one kept for this machine.
        name: what people read in lists of nodes.
        threads: torch threads.
        ca_file: certificates to trust instead of the system's.
        state_dir: where the model, checkpoints and the finished update are kept for the next process; default: beside
            `key`, else in the user's cache folder.
        checkpoint_s: seconds between two checkpoints of the training; 0: one after every step.
        models_dir: folder of base models by name, for tasks that train adapters; default: POTLUCK_MODELS, then the Hub.
        rank: of the adapters that this node trains; default: the task's.
        trainer: trains instead of the node, see `federation.trainer`; the node still fetches the model, holds the
            examples, makes, signs and brings the update. Default: the task's own training.
        patience_s: how long to go on asking a server that is lost, or says "later"; None: for ever.
        on_event: called on the event loop's thread with everything that happens.
    """

    def __init__(
        self,
        url: str,
        task_id: str,
        *,
        token: str | None = None,
        data: str | Path | None = None,
        index: int | None = None,
        transport: Transport = "http",
        lane: Lane = "auto",
        key: Path | None = None,
        name: str | None = None,
        threads: int = 1,
        ca_file: Path | None = None,
        state_dir: Path | None = None,
        checkpoint_s: float = EVERY_S,
        models_dir: Path | None = None,
        rank: int | None = None,
        trainer: Trainer | None = None,
        patience_s: float | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.endpoint = Endpoint(url, transport, token, ca_file)
        self.task_id = task_id
        self._data = data
        self._own_data = own_path(data) is not None
        self._index = index
        self._lane = lane
        self._key = key
        self._name = name
        self._threads = threads
        self._state_root = state_root(state_dir, key)
        self._checkpoint_s = checkpoint_s
        self._models = Models(models_dir, rank)
        self._trainer = trainer
        self._patience_s = patience_s
        self._on_event = on_event or (lambda event: None)

    async def run(self) -> Summary:
        """Work until the task is finished.

        Raises:
            Refused: the server, the data or the training said no for good, e.g. FENCED when another process took over.
            Lost: the server was out of reach for longer than `patience_s`.
        """
        started = time.monotonic()
        async with self._membership() as (member, terms, state), self.endpoint.http() as http:
            lanes = self._lanes(member, terms, http)
            delivery = Delivery(member, lanes, state, self._tell, inline_max=int(terms["lanes"]["inline_max_bytes"]))
            labour = await self._labour(member, terms, state, lanes, delivery)
            asking = Asking(
                member,
                self.task_id,
                index=self._index,
                own_data=self._own_data,
                max_wait_s=float(terms["limits"]["max_wait_s"]),
                tell=self._tell,
            )
            try:
                last = await self._work(asking, labour)
            except BaseException:
                await self._say_goodbye(member, labour.round)
                raise
            state.clear()
        reason = last.get("reason") or f"the task is {last['task_state']}"
        self._tell("finished", f"{reason}; updates given: {delivery.rounds}")
        counts = (delivery.rounds, delivery.examples, delivery.steps, lanes.bytes_up, lanes.bytes_down)
        return Summary(member.node_id, *counts, time.monotonic() - started)

    async def _work(self, asking: Asking, labour: Labour) -> dict[str, Any]:
        """Do what the server assigns until there is no more; the last assignment."""
        assignment = await asking.first()
        await labour.settle(assignment)
        while assignment["action"] != "finished":
            try:
                if assignment["action"] == "train":
                    assignment = await labour.train(assignment)
                    continue
                if assignment["action"] == "evaluate" and not await labour.evaluate(assignment):
                    return assignment
            except Refused as refused:
                if refused.code not in MISSED:
                    raise
                labour.forget()
                self._tell("skipped", f"round {assignment['round']} went on without this node: {refused.problem}")
                await asyncio.sleep(1)
            assignment = await asking.next()
        return assignment

    @asynccontextmanager
    async def _membership(self) -> AsyncIterator[tuple[Membership, dict[str, Any], StateFolder]]:
        """Who this node is to the server, the server's terms, and what this node keeps on disk for the task."""
        connection = Connection(
            self.endpoint,
            patience_s=self._patience_s,
            on_lost=lambda why, pause: self._tell(
                "lost", f"no answer from {self.endpoint.url} ({why}); again in {pause:.1f} s"
            ),
            on_back=lambda: self._tell("back", "server reached again"),
        )
        host, loop = self.endpoint.host, asyncio.get_running_loop()

        def on_trouble(why: str) -> None:  # the training thread's, for the most part
            loop.call_soon_threadsafe(self._tell, "trouble", why)

        with open_identity(self._key) as identity:
            mine = {"server": host, "task_id": self.task_id, "node_id": identity.public.node_id}
            with open_state(self._state_root, **mine, on_trouble=on_trouble) as state:
                async with connection:
                    member = Membership(connection, identity, self._name, host, self._told_to_wait, self._models)
                    terms = await member.renew()
                    reach("node_handshake_done")
                    text = f"at {self.endpoint.url} as {member.node_id}"
                    self._tell("joined", text, node_id=member.node_id, state=str(state.path))
                    yield member, terms, state

    def _lanes(self, member: Membership, terms: dict[str, Any], http: httpx2.AsyncClient) -> Lanes:
        raw = self._lane == "auto" and terms["lanes"]["raw"]
        chunk_max = int(terms["lanes"]["chunk_max_bytes"])
        base = self.endpoint.url
        return Lanes(
            member.connection,
            member.call,
            http if raw else None,
            base,
            chunk_max_bytes=chunk_max,
            patience_s=self._patience_s,
        )

    async def _labour(
        self, member: Membership, terms: dict[str, Any], state: StateFolder, lanes: Lanes, delivery: Delivery
    ) -> Labour:
        task = await member.ask("get_task", {"task_id": self.task_id})
        spec = parse_spec(task["spec"])
        self._models.check(spec)
        if self._trainer is not None:
            check_trainable(spec)
        own = await asyncio.to_thread(own_examples, spec, self._data)
        return Labour(
            member,
            lanes,
            delivery,
            state,
            Shares(own),
            self._models,
            self._tell,
            heartbeat_s=float(terms["heartbeat_s"]),
            threads=self._threads,
            checkpoint_s=self._checkpoint_s,
            trainer=self._trainer,
        )

    async def _say_goodbye(self, member: Membership, number: int) -> None:
        """Tell the server not to wait; if that cannot be done quickly, the lease will end by itself."""
        leaving = {"task_id": self.task_id, "round": number, "phase": "leaving"}
        with suppress(Exception):
            async with asyncio.timeout(GOODBYE_S):
                await member.call("report_progress", leaving)

    def _told_to_wait(self, why: str, pause: float) -> None:
        self._tell("waiting", f"{why} Again in {pause:.1f} s.")

    def _tell(self, kind: Kind, text: str, **data: Any) -> None:
        self._on_event(Event(kind, text, data))
