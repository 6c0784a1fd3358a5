"""The journal: what happened, when, and by whose hand."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.store.tables import events


@dataclass
class Origin:
    """The call that a change comes from, for the journal. `recorded`: the call has left an event of its own."""

    tool: str
    role: str
    address: str
    recorded: bool = False


origin: ContextVar[Origin | None] = ContextVar("origin", default=None)
"""Set around every tool call; what the server does of itself has none."""


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
    detail = detail or {}
    call = origin.get()
    if call is not None:
        call.recorded = True
        by = asdict(call)
        del by["recorded"]
        detail = detail | {"by": by}
    await connection.execute(insert(events).values(kind=kind, at=at, task_id=task_id, actor=actor, detail=detail))
