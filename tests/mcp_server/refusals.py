"""What a refusal must be: the right code, a way to mend it, and no trace in the store or the spool."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager

import pytest

from tests.mcp_server.rpc import Refusal
from tests.mcp_server.running import Served


@asynccontextmanager
async def refused(
    served: Served,
    code: str,
    *,
    says: str = "",
    status: int = 200,
    touches: Collection[str] = (),
    frees: bool = False,
) -> AsyncGenerator[None]:
    """Expects a refusal that leaves everything as it was.

    Args:
        code: of the refusal.
        says: words of the problem.
        status: of the HTTP answer; a tool's refusal is an answer like any other.
        touches: tables that may change nevertheless.
        frees: whether the refused bytes may leave the spool.
    """
    before = await served.snapshot()
    with pytest.raises(Refusal) as caught:
        yield
    refusal, after = caught.value, await served.snapshot()
    assert refusal.code == code, str(refusal)
    assert refusal.status == status
    assert says in refusal.problem
    assert len(refusal.problem) > 8
    assert len(refusal.mend) > 3, str(refusal)
    for table, rows in before.tables.items():
        if table not in touches:
            assert after.tables[table] == rows, f"{table} was written"
    if frees:
        assert after.files.items() <= before.files.items()
    else:
        assert after.files == before.files
