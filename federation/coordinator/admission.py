"""What a node may deliver, and when: the checks that both the announcement and the commit of an update make."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.standing import Standing, standing_in
from federation.errors import ErrorCode, Refused
from federation.rounds import RoundState
from federation.store.tables import uploads

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


async def check_few(connection: AsyncConnection, key: dict[str, Any], now: float) -> None:
    conditions = [uploads.c[name] == value for name, value in key.items()]
    query = select(func.count()).select_from(uploads).where(*conditions, uploads.c.expires_at > now)
    announced = await connection.scalar(query)
    if (announced or 0) >= _MOST_UPLOADS:
        raise Refused(
            ErrorCode.UPLOAD_CONFLICT,
            f"this node has announced {announced} different updates for this round.",
            "bring and submit one of them",
        )
