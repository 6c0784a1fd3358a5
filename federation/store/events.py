"""The journal: what happened, when, and by whose hand."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.store.tables import events


async def record(
    connection: AsyncConnection,
    kind: str,
    *,
    at: float,
    task_id: str = "",
    actor: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Adds one event to the transaction that makes it true."""
    await connection.execute(insert(events).values(kind=kind, at=at, task_id=task_id, actor=actor, detail=detail or {}))
