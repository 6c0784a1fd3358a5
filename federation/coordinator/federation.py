"""The whole coordinator: opened on a data directory, its parts under their names, its clockwork running."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from federation.clock import Clock, SteadyClock, monotonic_clock
from federation.coordinator.assignments import Assignments
from federation.coordinator.board import Board
from federation.coordinator.closing import Closer
from federation.coordinator.handshake import Handshakes
from federation.coordinator.housekeeping import Housekeeping
from federation.coordinator.liveness import Liveness
from federation.coordinator.membership import Membership
from federation.coordinator.models import Models
from federation.coordinator.notices import Notices, Topic
from federation.coordinator.ports import Limits, Shared, Simulator, Workload
from federation.coordinator.recovery import cut_short_what_lasts_too_long
from federation.coordinator.reports import Reports
from federation.coordinator.simulations import Simulations
from federation.coordinator.submissions import Submissions
from federation.coordinator.tasks import Tasks
from federation.coordinator.traffic import Traffic
from federation.coordinator.uploads import Uploads
from federation.coordinator.views import Views
from federation.data_dir import DATABASE_FILE, SPOOL_FOLDER, sole_owner
from federation.lanes import Lanes
from federation.server_key import ServerKey
from federation.spool import Spool
from federation.store.database import Database
from federation.tokens import Tokens

log = logging.getLogger(__name__)

_STOP_S = 1.0
"""How long a stop waits for rounds that are being closed, in seconds; the next start does the rest again."""


@dataclass(frozen=True)
class Federation:
    """Every part of the coordinator. Tools call these and nothing else."""

    shared: Shared
    tokens: Tokens
    handshakes: Handshakes
    tasks: Tasks
    simulations: Simulations
    assignments: Assignments
    uploads: Uploads
    submissions: Submissions
    reports: Reports
    models: Models
    views: Views
    closer: Closer
    housekeeping: Housekeeping
    traffic: Traffic

    @property
    def limits(self) -> Limits:
        """Bounds on what one call may ask."""
        return self.shared.limits


@asynccontextmanager
async def open_federation(
    data_dir: Path,
    workload: Workload,
    *,
    simulator: Simulator | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
    monotonic: Clock = monotonic_clock,
    quota_bytes: int | None = None,
    clockwork: bool = True,
) -> AsyncIterator[Federation]:
    """A federation on `data_dir`, which it holds alone until it is closed.

    Args:
        workload: models and data sets.
        simulator: runs tasks without nodes; None: there are none.
        clock: Unix seconds; default: the system's time at the start, and what has passed since.
        quota_bytes: the most that blobs may take on disk; default: what the disk holds.
        clockwork: close rounds as they become due; tests switch it off and call `closer.review()` themselves.
    """
    limits = limits or Limits()
    clock = clock or SteadyClock()
    with sole_owner(data_dir):
        database = await Database.open(URL.create("sqlite+aiosqlite", database=str(data_dir / DATABASE_FILE)))
        try:
            federation = _assemble(data_dir, workload, database, simulator, limits, clock, monotonic, quota_bytes)
            await cut_short_what_lasts_too_long(federation.shared)
            await federation.housekeeping.sweep()
            async with federation.simulations.running():
                if clockwork:
                    async with _running(federation):
                        yield federation
                else:
                    yield federation
            await federation.closer.stop(_STOP_S)
        finally:
            await database.close()


def _assemble(
    data_dir: Path,
    workload: Workload,
    database: Database,
    simulator: Simulator | None,
    limits: Limits,
    clock: Clock,
    monotonic: Clock,
    quota_bytes: int | None,
) -> Federation:
    key = ServerKey.of(data_dir)
    shared = Shared(
        data_dir=data_dir,
        database=database,
        spool=Spool(data_dir / SPOOL_FOLDER, quota_bytes),
        workload=workload,
        key=key,
        tokens=Tokens(database, key, clock),
        lanes=Lanes(key, clock),
        liveness=Liveness(monotonic, limits.presence_s),
        notices=Notices(),
        limits=limits,
        clock=clock,
        monotonic=monotonic,
    )
    traffic = Traffic()
    uploads = Uploads(shared, traffic)
    housekeeping = Housekeeping(shared)
    tasks, board = Tasks(shared, housekeeping), Board()
    return Federation(
        shared=shared,
        tokens=shared.tokens,
        handshakes=Handshakes(shared),
        tasks=tasks,
        simulations=Simulations(shared, tasks, housekeeping, simulator, board),
        assignments=Assignments(shared, Membership(shared)),
        uploads=uploads,
        submissions=Submissions(shared, uploads),
        reports=Reports(shared),
        models=Models(shared),
        views=Views(shared, board),
        closer=Closer(shared, traffic, housekeeping),
        housekeeping=housekeeping,
        traffic=traffic,
    )


@asynccontextmanager
async def _running(federation: Federation) -> AsyncIterator[None]:
    """Reviews rounds at every change, and when the next deadline or lease runs out."""
    changed = asyncio.Event()

    def wake(topic: Topic, _subject: str) -> None:
        if topic == "task":
            changed.set()

    federation.shared.notices.listen(wake)
    task = asyncio.create_task(_clockwork(federation, changed))
    try:
        yield
    finally:
        federation.shared.notices.stop()
        task.cancel()
        await asyncio.wait([task])


async def _clockwork(federation: Federation, changed: asyncio.Event) -> None:
    while True:
        changed.clear()
        try:
            due_in = await federation.closer.review()
        except Exception:
            log.exception("rounds could not be reviewed; trying again in a second")
            due_in = 1.0
        try:
            async with asyncio.timeout(None if due_in is None else max(0.01, due_in)):
                await changed.wait()
        except TimeoutError:
            continue
