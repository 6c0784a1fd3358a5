"""What a node may deliver, and when: the checks that both the announcement and the commit of an update make."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.standing import Standing, standing_in
from federation.errors import ErrorCode, Refused
from federation.rounds import RoundState
from federation.store.tables import uploads

_MOST_TIMES = 4  # the largest update allowed, in all open uploads of a node for one round
_MOST_UPLOADS = 8  # open ones of a node for one round: a retry that trained anew is honest, dozens are not


async def check_open_assignment(
    connection: AsyncConnection, task_id: str, number: int, node_id: str, base_version: int
) -> Standing:
    """Where the node stands, if it may deliver to the round now."""
    standing = await standing_in(connection, task_id, number, node_id)
    current = standing.opened_round(number)
    if not standing.in_cohort:
        raise Refused(
            ErrorCode.NOT_IN_COHORT,
            f"{node_id} was not selected for round {number} of task {task_id}.",
            "deliver only what get_assignment asked for",
        )
    if current.state is not RoundState.COLLECTING:
        raise Refused(
            ErrorCode.ROUND_CLOSED,
            f"round {number} of task {task_id} is {current.state}; it takes no more updates.",
            "drop this update and call get_assignment for the next round",
        )
    if base_version != current.base_version:
        raise Refused(
            ErrorCode.WRONG_VERSION,
            f"round {number} trains from version {current.base_version}, the update is against {base_version}.",
            "train from the model of the assignment",
        )
    return standing


def check_not_submitted(standing: Standing, node_id: str, number: int) -> None:
    """Refuses when the node has delivered its update for this round."""
    if standing.delivered is not None:
        raise Refused(
            ErrorCode.ALREADY_SUBMITTED,
            f"{node_id} has already delivered another update ({standing.delivered[:12]}…) for round {number}.",
            "one update a round: call get_assignment for the next one",
        )


async def check_few(
    connection: AsyncConnection, key: dict[str, Any], size: int, largest: int, share: float | None
) -> None:
    """Refuses one more upload of `size` bytes when the node has announced enough.

    Args:
        key: node, task, round and base version.
        largest: bytes of the largest update allowed.
        share: bytes that a node's open uploads may take in all tasks together; None: no bound.
    """
    conditions = [uploads.c[name] == value for name, value in key.items()]
    total = select(func.count(), func.coalesce(func.sum(uploads.c.size), 0)).where(uploads.c.expires_at > 0)
    count, in_round = (await connection.execute(total.where(*conditions))).one()
    if count >= _MOST_UPLOADS or in_round + size > _MOST_TIMES * largest:
        raise Refused(
            ErrorCode.UPLOAD_CONFLICT,
            f"this node has announced {count} different updates of {in_round} bytes for this round.",
            f"bring and submit one of them: {_MOST_UPLOADS}, and {_MOST_TIMES} times the largest update, are the most",
        )
    _, open_bytes = (await connection.execute(total.where(uploads.c.node_id == key["node_id"]))).one()
    if share is not None and open_bytes + size > max(share, largest):
        raise Refused(
            ErrorCode.STORAGE_FULL,
            f"this node's open uploads take {open_bytes} bytes; with these it would have more than its share of the "
            f"server's quota, {int(max(share, largest))} bytes.",
            "submit what is announced, or wait until its rounds end; the operator can raise the quota",
        )
