"""From a finished update to its receipt; until that has come, the update is kept on disk."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from edge_client.answers import LATER
from edge_client.events import Tell
from edge_client.heartbeat import Heartbeat
from edge_client.membership import Membership
from edge_client.state_folder import TRAINING, UPDATE, StateFolder
from edge_client.transfer import Lanes
from edge_client.work import Update
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.identity import update_message

COMMIT_S = 600.0
"""How long a server may check an update before it takes it, in seconds."""
MISSED = {
    ErrorCode.NOT_IN_COHORT,
    ErrorCode.ROUND_CLOSED,
    ErrorCode.WRONG_VERSION,
    ErrorCode.ALREADY_SUBMITTED,
    ErrorCode.WRONG_STATE,
}
"""Refusals that end a round's work for this node, not its membership."""
CONDEMNED = MISSED | {ErrorCode.BAD_UPDATE, ErrorCode.BAD_COUNT}
"""Refusals of the update itself: nobody wants it. After any other it is kept, and the next process brings it again."""
ENDING = LATER | {
    ErrorCode.FENCED,
    ErrorCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN,
    ErrorCode.BAD_NODE_TOKEN,
    ErrorCode.INTERNAL,
}
"""Refusals of this process, whatever it brings."""


class Delivery:
    """Brings updates to the server.

    Attributes:
        rounds, examples, steps: of the updates for which there is a receipt.
    """

    def __init__(self, member: Membership, lanes: Lanes, state: StateFolder, tell: Tell, *, inline_max: int) -> None:
        self._member = member
        self._lanes = lanes
        self._state = state
        self._tell = tell
        self._inline_max = inline_max
        self.rounds = self.examples = self.steps = 0

    async def store(self, update: Update, work: Mapping[str, Any]) -> None:
        """Put a finished update on disk, as that of `work`. Where that fails it is sent from memory."""
        facts = {**work, **update.facts}
        kept = await asyncio.to_thread(self._state.write, UPDATE, facts, [update.payload])
        reach("node_update_stored")
        if kept:
            self._state.remove(TRAINING)

    async def stored(self, work: Mapping[str, Any]) -> Update | None:
        """The update of an earlier process for which no receipt has come; one of other work than `work` is removed."""
        expected = {"node_id": self._member.node_id, **work}
        found = await asyncio.to_thread(self._state.read, UPDATE, expected)
        if found is None:
            return None
        facts, payload = found
        try:
            names = {field.name for field in fields(Update)}
            return Update(payload=payload, **{name: value for name, value in facts.items() if name in names})
        except TypeError as error:  # written by another release
            self._state.refuse(UPDATE, str(error))
            return None

    async def deliver(self, update: Update, heartbeat: Heartbeat | None = None) -> dict[str, Any]:
        """Bring the update, and forget it once the receipt is there; the node's next assignment.

        Repeating it, in this process or a later one, brings the same receipt and changes nothing.

        Raises:
            Refused: the server does not want it, with the reason; it is forgotten where that is the update's fault.
        """
        try:
            answer = await self._bring(update, heartbeat)
        except Refused as refused:
            if refused.code in CONDEMNED:
                self._state.remove(UPDATE)
            raise
        reach("node_receipt_received")
        self._state.remove(UPDATE)
        self.rounds += 1
        self.examples += update.num_examples
        self.steps += update.num_steps
        text = f"round {update.round}: {update.num_examples} examples, {update.num_steps} steps{_scores(update)}"
        text += "; update accepted"
        self._tell("submitted", text, round=update.round, receipt=answer["receipt"], metrics=update.metrics)
        following: dict[str, Any] = answer["next"]
        return following

    async def _bring(self, update: Update, heartbeat: Heartbeat | None) -> dict[str, Any]:
        work = {"task_id": update.task_id, "round": update.round, "base_version": update.base_version}
        counts = {"num_examples": update.num_examples, "num_steps": update.num_steps}
        message = update_message(node_id=self._member.node_id, sha256=update.sha256, **work, **counts)  # type: ignore[arg-type]
        signature = self._member.identity.sign(message)
        commit: dict[str, Any] = work | counts | {"metrics": update.metrics, "signature": signature}
        if len(update.payload) <= self._inline_max:
            self._lanes.bytes_up += len(update.payload)
            return await self._commit(commit | {"inline_b64": base64.b64encode(update.payload).decode()})
        begin = work | {"sha256": update.sha256, "size": len(update.payload)}
        try:
            return await self._commit(commit | {"upload_id": await self._upload(begin, update.payload, heartbeat)})
        except Refused as refused:
            if refused.code not in (ErrorCode.UPLOAD_GONE, ErrorCode.UPLOAD_INCOMPLETE):
                raise
        # The server lost the upload, in a crash say: it is brought once more.
        return await self._commit(commit | {"upload_id": await self._upload(begin, update.payload, heartbeat)})

    async def _upload(self, begin: dict[str, Any], payload: bytes, heartbeat: Heartbeat | None) -> str:
        upload = self._lanes.upload(begin, payload)
        return await (upload if heartbeat is None else heartbeat.unless_stopped(upload))

    async def _commit(self, commit: dict[str, Any]) -> dict[str, Any]:
        return await self._member.call("submit_update", commit, timeout=COMMIT_S)


def _scores(update: Update) -> str:
    """As a person reads them; a model that writes has no accuracy."""
    shown = {"loss": ".4f", "accuracy": ".3f"}
    known = [(name, update.metrics.get(f"train_{name}"), form) for name, form in shown.items()]
    return "".join(f", {name} {value:{form}}" for name, value, form in known if value is not None)
