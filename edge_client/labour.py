"""What a node does about an assignment: train and deliver, or score the final model."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from edge_client.answers import Lost
from edge_client.checkpoints import Checkpoints, identity, work_of
from edge_client.data import Share, Shares
from edge_client.delivery import ENDING, Delivery
from edge_client.events import Tell
from edge_client.heartbeat import Heartbeat
from edge_client.membership import Membership
from edge_client.models import Models
from edge_client.state_folder import TRAINING, StateFolder
from edge_client.transfer import Lanes
from edge_client.variates import AtHand, Variates
from edge_client.work import Update, make_update, memory_bytes, score, update_by
from federation.errors import Refused
from federation.fault_points import reach
from federation.spec import TaskSpec, derive_seed, parse_spec
from federation.trainer import Trainer, name_of
from federation.training import Progress, Stopped

T = TypeVar("T")
LEAVE_S = 2.5
"""How long a node that leaves waits for its training to stop and to be kept, in seconds."""
TELL_S = 0.1
"""Watchers hear of steps at most this often, in seconds."""


class Labour:
    """One node's work in one task.

    Args:
        member, lanes, delivery, state, shares, models: what it works with.
        tell: told of everything.
        heartbeat_s: how often the server wants to hear of a node at work, in seconds.
        threads: torch threads.
        checkpoint_s: seconds between two checkpoints.
        trainer: trains instead of the node; default: the node does.
    """

    def __init__(
        self,
        member: Membership,
        lanes: Lanes,
        delivery: Delivery,
        state: StateFolder,
        shares: Shares,
        models: Models,
        tell: Tell,
        *,
        heartbeat_s: float,
        threads: int,
        checkpoint_s: float,
        trainer: Trainer | None = None,
    ) -> None:
        self._member = member
        self._lanes = lanes
        self._delivery = delivery
        self._state = state
        self._shares = shares
        self._models = models
        self._tell = tell
        self._heartbeat_s = heartbeat_s
        self._threads = threads
        self._checkpoint_s = checkpoint_s
        self._trainer = trainer
        self._variates = Variates(state)
        self._finished: Update | None = None
        self.round = 1

    async def settle(self, assignment: dict[str, Any]) -> None:
        """See to the update that an earlier process finished: its receipt may have got lost, or its round may wait."""
        expected = {
            name: assignment[name] for name in ("task_id", "partition_index") if assignment.get(name) is not None
        }
        update = await self._delivery.stored(expected)
        if update is None:
            return
        self._tell("resumed", f"round {update.round}: its update was finished before", round=update.round)
        if update.answers(assignment):
            self._finished = update
            return
        try:
            await self._delivery.deliver(update)
        except Refused as refused:
            if refused.code in ENDING:
                raise
            self._tell("skipped", f"round {update.round} went on without this node: {refused.problem}")

    async def train(self, assignment: dict[str, Any]) -> dict[str, Any]:
        """Train the assigned model and bring the update to the server; the next assignment."""
        self.round = int(assignment["round"])
        version = assignment["model"]["version"]
        update, self._finished = self._finished, None
        spec = parse_spec(assignment["spec"])
        async with self._heartbeat(assignment, spec) as heartbeat:
            share = await self._share(spec, assignment)
            seed = self._seed(assignment, spec)
            # Every example is hashed for it.
            mine = await asyncio.to_thread(work_of, assignment, share, node_id=self._member.node_id, seed=seed)
            mine |= {"trainer": None if self._trainer is None else name_of(self._trainer)}
            if update is None or not update.answers(assignment) or not await self._delivery.stored(mine):
                self._tell("round", f"round {self.round}: training from model version {version}", round=self.round)
                update = await self._trained(assignment, spec, share, heartbeat)
                await self._delivery.store(update, mine)
            return await self._delivery.deliver(update, heartbeat)

    async def evaluate(self, assignment: dict[str, Any]) -> bool:
        """Score the final model on the held-out examples, and report it; False where there are none."""
        spec = parse_spec(assignment["spec"])
        share = await self._share(spec, assignment)
        if not len(share.held_out):
            return False
        model_file = await self._lanes.download(assignment["model"], self._state.models)
        result = await asyncio.to_thread(
            score, spec, assignment, model_file, share, threads=self._threads, models=self._models
        )
        reach("node_evaluated")
        version = assignment["model"]["version"]
        report = {"task_id": assignment["task_id"], "round": assignment["round"], "version": version}
        report |= {"phase": "evaluation", "step": 1, "total_steps": 1}
        report |= {"loss": result.loss, "num_examples": result.counted}
        if result.accuracy is not None:
            report["accuracy"] = result.accuracy
        await self._member.call("report_progress", report)
        found = f"loss {result.loss:.4f}" if result.accuracy is None else f"accuracy {result.accuracy:.3f}"
        text = f"model version {version}: {found} on held-out examples of its own"
        self._tell("evaluated", text)
        return True

    def forget(self) -> None:
        """The round wants no more of this node: what it kept for it is of no use."""
        self._state.remove(TRAINING)

    def _seed(self, assignment: dict[str, Any], spec: TaskSpec) -> int:
        index = assignment.get("partition_index")
        return derive_seed(spec.seed, "train", self.round, self._member.node_id if index is None else index)

    async def _share(self, spec: TaskSpec, assignment: dict[str, Any]) -> Share:
        """This node's examples; texts become some by the tokenizer of the task's base model."""
        index = assignment.get("partition_index")
        return await self._shares.of(spec, index, lambda: self._models.tokenizer(spec, assignment))

    async def _trained(self, assignment: dict[str, Any], spec: TaskSpec, share: Share, heartbeat: Heartbeat) -> Update:
        model_file = await heartbeat.unless_stopped(self._lanes.download(assignment["model"], self._state.models))
        reach("node_model_downloaded")
        variates = await self._variates_for(assignment, heartbeat) if spec.aggregation.control_variates else None
        seed = self._seed(assignment, spec)
        loop, on_progress = asyncio.get_running_loop(), self._progress_into(heartbeat)

        def on_resumed(progress: Progress) -> None:
            loop.call_soon_threadsafe(self._tell_resumed, progress)

        def work() -> Update:
            if self._trainer is not None:
                return update_by(
                    self._trainer,
                    spec,
                    assignment,
                    model_file,
                    share,
                    seed=seed,
                    threads=self._threads,
                    models=self._models,
                    on_progress=on_progress,
                    should_stop=heartbeat.stopped,
                )
            mine = identity(assignment, share, node_id=self._member.node_id, seed=seed, threads=self._threads)
            return make_update(
                spec,
                assignment,
                model_file,
                share,
                seed=seed,
                threads=self._threads,
                models=self._models,
                variates=variates,
                checkpoints=Checkpoints(self._state, mine, self._checkpoint_s),
                on_resumed=on_resumed,
                on_progress=on_progress,
                should_stop=heartbeat.stopped,
            )

        try:
            return await _in_thread(work, heartbeat)
        except Stopped:
            raise heartbeat.verdict() from None

    async def _variates_for(self, assignment: dict[str, Any], heartbeat: Heartbeat) -> AtHand:
        told, file = assignment["model"]["control"], None
        if "sha256" in told:
            download = self._lanes.download(told, self._state.controls, what="control variate")
            file = await heartbeat.unless_stopped(download)
            reach("node_control_downloaded")
        return AtHand(self._variates, self.round, told, file)

    def _heartbeat(self, assignment: dict[str, Any], spec: TaskSpec) -> Heartbeat:
        lost = False

        async def beat(progress: Progress | None) -> dict[str, Any]:
            nonlocal lost
            report: dict[str, Any] = {"task_id": assignment["task_id"], "round": self.round, "phase": "training"}
            report |= {"step": 0, "total_steps": 1, "memory_bytes": memory_bytes()}
            if progress is not None:
                report |= {"step": progress.step, "total_steps": progress.total_steps}
                scores = {"loss": progress.loss, "accuracy": progress.accuracy}
                report |= {name: score for name, score in scores.items() if math.isfinite(score)}
                report["examples_per_s"] = progress.examples_per_s
            try:
                # Not with the growing pauses of other calls: a server that is back has to hear of us within the lease.
                answer = await self._member.call("report_progress", report, once=True)
            except Lost as error:
                if not lost:
                    self._tell("lost", f"the server cannot be told of the work ({error}), which goes on")
                lost = True
                raise
            lost = False
            return answer

        return Heartbeat(beat, min(self._heartbeat_s, spec.lease_s / 3))

    def _tell_resumed(self, progress: Progress) -> None:
        text = f"round {self.round}: going on after step {progress.step} of {progress.total_steps}"
        self._tell("resumed", text, round=self.round, step=progress.step, total_steps=progress.total_steps)

    def _progress_into(self, heartbeat: Heartbeat) -> Callable[[Progress], None]:
        """What the training thread calls after every step."""
        loop, number, told = asyncio.get_running_loop(), self.round, 0.0

        def tell(progress: Progress) -> None:
            text = f"round {number}: step {progress.step}/{progress.total_steps}, loss {progress.loss:.4f}"
            self._tell("progress", text, **vars(progress), round=number)

        def on_progress(progress: Progress) -> None:
            nonlocal told
            reach("node_step_done")
            heartbeat.progress = progress
            now = time.monotonic()
            if now - told >= TELL_S or progress.step == progress.total_steps:
                told = now
                loop.call_soon_threadsafe(tell, progress)

        return on_progress


async def _in_thread(work: Callable[[], T], heartbeat: Heartbeat) -> T:
    """What `work` answers. A node that has to leave meanwhile stops it, and gives it time to keep what it did."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        heartbeat.stop()
        await asyncio.wait({running}, timeout=LEAVE_S)
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
