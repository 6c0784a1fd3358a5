"""SCAFFOLD's control variates, as far as the server knows of them: its own, and which one of a node's it counts on.

The server's c is the state of a model version. A node's c_i is the node's alone; but which of them is in c follows from
the versions that led to this one: what a void round or a roll-back left behind is not in it. So the server names the
round, and a node goes on from the variate that it had after that one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.ports import Shared
from federation.coordinator.records import ModelVersion, Task
from federation.store.tables import members, metrics, model_versions, updates

LOST = "variate_lost"
"""The metric by which a node says that it no longer has the variate that the server counts on; and the event."""


async def control_for(connection: AsyncConnection, shared: Shared, base: ModelVersion, node_id: str) -> dict[str, Any]:
    """What a node is told with the model `base`: where c is, and after which of its rounds its own variate counts.

    Empty before the first round, and after a roll-back to a version whose state is gone: then all variates are zero.
    """
    if base.state_sha256 is None:
        return {}
    found: dict[str, Any] = {
        "sha256": base.state_sha256,
        "size": shared.spool.path(base.state_sha256).stat().st_size,
        "url": shared.lanes.blob_url(base.state_sha256, base.task_id),
        "uri": f"potluck://blobs/{base.state_sha256}/0",
    }
    row = (await connection.execute(_counted(base, node_id))).first()
    return found if row is None else found | {"counted": {"round": row.round, "sha256": row.sha256}}


async def clients_of(connection: AsyncConnection, task_id: str) -> int:
    """N: every node that ever joined the task. One that is gone still has its part in c."""
    query = select(func.count()).select_from(members).where(members.c.task_id == task_id)
    return int(await connection.scalar(query) or 0)


async def losses(connection: AsyncConnection, task: Task) -> dict[str, int]:
    """How often each node has said that its variate is lost."""
    query = (
        select(metrics.c.node_id, func.count())
        .where(metrics.c.task_id == task.task_id, metrics.c.source == "node", metrics.c.name == LOST)
        .group_by(metrics.c.node_id)
    )
    return {str(node_id): int(count) for node_id, count in await connection.execute(query)}


def _counted(base: ModelVersion, node_id: str) -> Any:
    """The latest update of the node among those that went into `base` and the versions before it, as far as c goes
    back."""
    line = (
        select(model_versions.c.version, model_versions.c.parent)
        .where(model_versions.c.task_id == base.task_id, model_versions.c.version == base.version)
        .cte("line", recursive=True)
    )
    earlier = and_(model_versions.c.task_id == base.task_id, model_versions.c.version == line.c.parent)
    reaches = model_versions.c.round >= (base.state_since or 1)
    line = line.union_all(select(model_versions.c.version, model_versions.c.parent).join(line, earlier).where(reaches))
    return (
        select(updates.c.round, updates.c.sha256)
        .join(line, line.c.version == updates.c.version)
        .where(updates.c.task_id == base.task_id, updates.c.node_id == node_id)
        .order_by(updates.c.round.desc())
        .limit(1)
    )
