"""A node's life: shake hands, ask for work, train, send what changed, ask again. The data stays where it is."""

from __future__ import annotations

import asyncio
import base64
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_client.connection import Connection
from edge_client.data import Share, load_share, own_examples, own_path
from edge_client.endpoint import Endpoint, Transport
from edge_client.events import Event, Kind, Summary
from edge_client.heartbeat import Heartbeat
from edge_client.identity import open_identity
from edge_client.membership import Membership
from edge_client.transfer import Lane, Lanes
from edge_client.work import Update, make_update, memory_bytes, score
from federation.errors import ErrorCode, Refused
from federation.identity import update_message
from federation.spec import TaskSpec, derive_seed, parse_spec
from federation.training import Progress, Stopped

POLL_S = 25.0
"""How long one get_assignment may take, in seconds: below what proxies allow an idle request."""
COMMIT_S = 600.0
"""How long a server may check an update before it takes it, in seconds."""
SHARE_PAUSE_S, SHARE_PATIENCE_S = 5.0, 60.0
"""How often and how long a node asks again for a share that another one holds, in seconds."""
GOODBYE_S = 2.0
"""How long a node that leaves tries to say so, in seconds."""
MISSED = {
    ErrorCode.NOT_IN_COHORT,
    ErrorCode.ROUND_CLOSED,
    ErrorCode.WRONG_VERSION,
    ErrorCode.ALREADY_SUBMITTED,
    ErrorCode.WRONG_STATE,
}
"""Refusals that end a round's work for this node, not its membership."""


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
        patience_s: how long to go on trying to reach a lost server; None: for ever.
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
        self._patience_s = patience_s
        self._on_event = on_event or (lambda event: None)
        self._share: tuple[tuple[Any, ...], Share] | None = None
        self._partition_index: int | None = None
        self._round = self._rounds = self._examples = self._steps = 0

    async def run(self) -> Summary:
        """Work until the task is finished.

        Raises:
            Refused: the server, the data or the training said no for good, e.g. FENCED when another process took over.
            Lost: the server was out of reach for longer than `patience_s`.
        """
        started = time.monotonic()
        connection = Connection(
            self.endpoint,
            patience_s=self._patience_s,
            on_lost=lambda why, pause: self._tell(
                "lost", f"no answer from {self.endpoint.url} ({why}); again in {pause:.1f} s"
            ),
            on_back=lambda: self._tell("back", "server reached again"),
        )
        with open_identity(self._key) as identity, tempfile.TemporaryDirectory(prefix="potluck-node-") as scratch:
            async with connection, self.endpoint.http() as http:
                self._scratch = Path(scratch)
                self._member = Membership(connection, identity, self._name, self.endpoint.host, self._told_to_wait)
                terms = await self._member.renew()
                self._heartbeat_s = float(terms["heartbeat_s"])
                self._inline_max = int(terms["lanes"]["inline_max_bytes"])
                self._wait_s = min(POLL_S, float(terms["limits"]["max_wait_s"]))
                self._lanes = Lanes(
                    connection,
                    self._member.call,
                    http if self._lane == "auto" and terms["lanes"]["raw"] else None,
                    self.endpoint.url,
                    chunk_max_bytes=int(terms["lanes"]["chunk_max_bytes"]),
                )
                self._tell("joined", f"at {self.endpoint.url} as {self._member.node_id}", node_id=self._member.node_id)
                task = await self._member.ask("get_task", {"task_id": self.task_id})
                self._own = await asyncio.to_thread(own_examples, parse_spec(task["spec"]), self._data)
                try:
                    assignment = await self._first_assignment()
                    while assignment["action"] != "finished":
                        assignment = await self._act(assignment)
                except BaseException:
                    await self._say_goodbye()
                    raise
        reason = assignment.get("reason") or f"the task is {assignment['task_state']}"
        self._tell("finished", f"{reason}; updates given: {self._rounds}")
        counts = (self._rounds, self._examples, self._steps, self._lanes.bytes_up, self._lanes.bytes_down)
        return Summary(self._member.node_id, *counts, time.monotonic() - started)

    async def _first_assignment(self) -> dict[str, Any]:
        """Joins the task. A share whose node was heard of lately may be free again soon, so that is waited for."""
        patience = SHARE_PATIENCE_S
        while True:
            try:
                return await self._next_assignment(wait_s=0)  # at once, so that people see why there is nothing to do
            except Refused as refused:
                if refused.code is not ErrorCode.PARTITION_TAKEN or patience <= 0:
                    raise
                self._told_to_wait(refused.problem, SHARE_PAUSE_S)
            await asyncio.sleep(SHARE_PAUSE_S)
            patience -= SHARE_PAUSE_S

    async def _next_assignment(self, wait_s: float | None = None) -> dict[str, Any]:
        wait_s = self._wait_s if wait_s is None else wait_s
        arguments: dict[str, Any] = {"task_id": self.task_id, "wait_s": wait_s, "own_data": self._own_data}
        if self._index is not None:
            arguments["partition_index"] = self._index
        asked = time.monotonic()
        assignment = await self._member.call("get_assignment", arguments, timeout=wait_s + 30)
        if assignment["action"] == "wait":
            self._tell("waiting", str(assignment.get("reason") or "nothing to do yet"))
            waited = time.monotonic() - asked
            pause = float(assignment.get("retry_after_s") or 0) if wait_s else 0.0
            await asyncio.sleep(max(0.0, pause - waited))
        return assignment

    async def _say_goodbye(self) -> None:
        """Tell the server not to wait; if that cannot be done quickly, the lease will end by itself."""
        leaving = {"task_id": self.task_id, "round": max(1, self._round), "phase": "leaving"}
        with suppress(Exception):
            async with asyncio.timeout(GOODBYE_S):
                await self._member.call("report_progress", leaving)

    async def _act(self, assignment: dict[str, Any]) -> dict[str, Any]:
        """Do what `assignment` says; the next one."""
        match assignment["action"]:
            case "train":
                try:
                    return await self._train(assignment)
                except Refused as refused:
                    if refused.code not in MISSED:
                        raise
                    self._tell("skipped", f"round {assignment['round']} went on without this node: {refused.problem}")
                    await asyncio.sleep(1)
            case "evaluate":
                try:
                    if not await self._evaluate(assignment):
                        return {**assignment, "action": "finished"}
                except Refused as refused:
                    if refused.code not in MISSED:
                        raise
                    self._tell("skipped", f"the final model has changed: {refused.problem}")
                    await asyncio.sleep(1)
        return await self._next_assignment()

    async def _train(self, assignment: dict[str, Any]) -> dict[str, Any]:
        round_number, version = int(assignment["round"]), int(assignment["model"]["version"])
        self._partition_index = assignment.get("partition_index")
        self._round = round_number
        self._tell("round", f"round {round_number}: training from model version {version}", round=round_number)
        spec = parse_spec(assignment["spec"])
        async with self._heartbeat(assignment, spec) as heartbeat:
            model_file = await self._lanes.download(assignment["model"], self._scratch)
            share = await self._share_for(spec, assignment)
            index = self._partition_index
            try:
                update = await asyncio.to_thread(
                    make_update,
                    spec,
                    assignment,
                    model_file,
                    share,
                    seed=derive_seed(
                        spec.seed, "train", round_number, self._member.node_id if index is None else index
                    ),
                    threads=self._threads,
                    on_progress=self._progress_into(heartbeat, round_number),
                    should_stop=heartbeat.stopped,
                )
            except Stopped:
                reason = heartbeat.reason or "it was stopped"
                raise heartbeat.refusal or Refused(ErrorCode.ROUND_CLOSED, f"{reason}.", "wait for work") from None
            return await self._submit(assignment, update)

    async def _submit(self, assignment: dict[str, Any], update: Update) -> dict[str, Any]:
        trained = update.trained
        work: dict[str, Any] = {name: assignment[name] for name in ("task_id", "round")}
        work["base_version"] = assignment["model"]["version"]
        counts: dict[str, Any] = {"num_examples": trained.num_examples, "num_steps": trained.num_steps}
        signed = {"node_id": self._member.node_id, "sha256": update.sha256} | work | counts
        message = update_message(**signed)
        commit = work | counts | {"metrics": update.metrics, "signature": self._member.identity.sign(message)}
        if len(update.payload) <= self._inline_max:
            commit["inline_b64"] = base64.b64encode(update.payload).decode()
            self._lanes.bytes_up += len(update.payload)
            answer = await self._member.call("submit_update", commit, timeout=COMMIT_S)
        else:
            begin = work | {"sha256": update.sha256, "size": len(update.payload)}
            answer = await self._upload_and_commit(begin, update.payload, commit)
        self._rounds += 1
        self._examples += trained.num_examples
        self._steps += trained.num_steps
        text = f"{trained.num_examples} examples, {trained.num_steps} steps, loss {trained.loss:.4f}, accuracy "
        text = f"round {work['round']}: {text}{trained.accuracy:.3f}; update accepted"
        self._tell("submitted", text, round=work["round"], receipt=answer["receipt"], metrics=update.metrics)
        following: dict[str, Any] = answer["next"]
        return following

    async def _upload_and_commit(self, begin: dict[str, Any], payload: bytes, commit: dict[str, Any]) -> dict[str, Any]:
        """Commit by upload id; an upload that the server lost, in a crash say, is brought once more."""
        upload_id = await self._lanes.upload(begin, payload)
        try:
            return await self._member.call("submit_update", commit | {"upload_id": upload_id}, timeout=COMMIT_S)
        except Refused as refused:
            if refused.code not in (ErrorCode.UPLOAD_GONE, ErrorCode.UPLOAD_INCOMPLETE):
                raise
        upload_id = await self._lanes.upload(begin, payload)
        return await self._member.call("submit_update", commit | {"upload_id": upload_id}, timeout=COMMIT_S)

    async def _evaluate(self, assignment: dict[str, Any]) -> bool:
        """Score the final model on the held-out examples; False where there are none."""
        self._partition_index = assignment.get("partition_index")
        spec = parse_spec(assignment["spec"])
        share = await self._share_for(spec, assignment)
        if not len(share.held_out):
            return False
        model_file = await self._lanes.download(assignment["model"], self._scratch)
        result = await asyncio.to_thread(score, spec, assignment, model_file, share, threads=self._threads)
        report = {
            "task_id": self.task_id,
            "round": assignment["round"],
            "phase": "evaluation",
            "step": 1,
            "total_steps": 1,
            "loss": result.loss,
            "accuracy": result.accuracy,
            "num_examples": result.num_examples,
            "version": assignment["model"]["version"],
        }
        await self._member.call("report_progress", report)
        self._tell(
            "evaluated",
            f"model version {report['version']}: accuracy {result.accuracy:.3f} on held-out examples of its own",
        )
        return True

    async def _share_for(self, spec: TaskSpec, assignment: dict[str, Any]) -> Share:
        """This node's examples, read once: they are the same in every round."""
        wanted = (spec.data, spec.partition_seed, self._partition_index)
        if self._share is None or self._share[0] != wanted:
            share = await asyncio.to_thread(load_share, spec, self._partition_index, self._own)
            self._share = (wanted, share)
        return self._share[1]

    def _heartbeat(self, assignment: dict[str, Any], spec: TaskSpec) -> Heartbeat:
        async def beat(progress: Progress | None) -> dict[str, Any]:
            report: dict[str, Any] = {"task_id": self.task_id, "round": assignment["round"], "phase": "training"}
            report |= {"step": 0, "total_steps": 1, "memory_bytes": memory_bytes()}
            if progress is not None:
                report |= {"step": progress.step, "total_steps": progress.total_steps, "loss": progress.loss}
                report |= {"accuracy": progress.accuracy, "examples_per_s": progress.examples_per_s}
            return await self._member.call("report_progress", report)

        return Heartbeat(beat, min(self._heartbeat_s, spec.lease_s / 3))

    def _progress_into(self, heartbeat: Heartbeat, round_number: int) -> Callable[[Progress], None]:
        """What the training thread calls after every step; watchers hear of it at most ten times a second."""
        loop = asyncio.get_running_loop()
        told = 0.0

        def on_progress(progress: Progress) -> None:
            nonlocal told
            heartbeat.progress = progress
            now = time.monotonic()
            if now - told >= 0.1 or progress.step == progress.total_steps:
                told = now
                text = f"round {round_number}: step {progress.step}/{progress.total_steps}, loss {progress.loss:.4f}"
                loop.call_soon_threadsafe(
                    self._on_event, Event("progress", text, vars(progress) | {"round": round_number})
                )

        return on_progress

    def _told_to_wait(self, why: str, pause: float) -> None:
        self._tell("waiting", f"{why} Again in {pause:.1f} s.")

    def _tell(self, kind: Kind, text: str, **data: Any) -> None:
        self._on_event(Event(kind, text, data))
