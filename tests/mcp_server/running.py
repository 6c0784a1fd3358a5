"""A real server for tests: the whole app over real HTTP on a free port, on the test's own event loop."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import select

from federation.coordinator.federation import Federation, open_federation
from federation.coordinator.ports import Limits
from federation.store.audit import CALLED, REFUSED
from federation.store.tables import metadata
from federation.tokens import Role, Token
from mcp_server.app import PagesFor, build_app
from mcp_server.listening import listening
from mcp_server.run import listen
from mcp_server.settings import Settings
from resources.simulate import Simulator
from resources.workload import Workload
from tests.mcp_server.rpc import Rpc
from tests.new_databases import begin

NO_TLS = False
"""What plain HTTP verifies; reading all certificates that a machine trusts takes a client 20 ms."""
GRACE_S = 0.2
"""Seconds that a stop gives streams, which only their clients would end."""
NOON = 1_800_014_400.0  # 12:00 UTC, so that no test meets midnight by chance
SPEC: dict[str, Any] = {
    "name": "a test",
    "model": {"id": "logistic"},
    "data": {"id": "digits", "partition": {"parts": 8}},
    "cohort": {"size": 2},
    "rounds": 3,
}


class StoppedClock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now

    @contextmanager
    def later(self, seconds: float) -> Iterator[None]:
        """For a while it is `seconds` later."""
        self.now += seconds
        try:
            yield
        finally:
            self.now -= seconds


@dataclass(frozen=True)
class Snapshot:
    """Everything that a server keeps: the rows of every table, and the size of every file of the spool."""

    tables: dict[str, list[str]]
    files: dict[str, int]

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        return {name: len(rows) for name, rows in self.tables.items()}


@dataclass
class Served:
    """A running server and the means to reach it, by the front door and behind the scenes."""

    base: str
    data_dir: Path
    settings: Settings
    federation: Federation
    clock: StoppedClock
    http: httpx2.AsyncClient
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def host(self) -> str:
        """Host and port, as dialled."""
        return self.base.removeprefix("http://")

    def fresh(self, word: str = "request") -> str:
        """An id that no other test used on this server."""
        return f"{word}-{next(self._numbers):06d}"

    async def token(self, role: str, **kwargs: Any) -> Token:
        """A new token of this role, from behind the scenes."""
        token, _ = await self.federation.tokens.issue(
            Role(role), label=role, request_id=self.fresh("token"), actor="test", **kwargs
        )
        return token

    def rpc(self, token: str | None = None) -> Rpc:
        """Bare JSON-RPC of the modern era, with this bearer token."""
        return Rpc(self.http, token)

    async def operator(self) -> Rpc:
        """An operator's line."""
        return self.rpc((await self.token("operator")).secret)

    async def task(self, *, start: bool = True, **changes: Any) -> str:
        """The id of a new task, `SPEC` with changes."""
        task, _ = await self.federation.tasks.create(SPEC | changes, request_id=self.fresh(), start=start, actor="test")
        return task.task_id

    async def close_due_rounds(self) -> None:
        """What the clockwork, which tests switch off, would do now."""
        await self.federation.closer.review()
        await self.federation.closer.finish()

    async def state_of(self, task_id: str) -> dict[str, Any]:
        """The task as operators see it."""
        return await self.federation.views.task(task_id, private=True)

    async def snapshot(self) -> Snapshot:
        """What is stored now."""
        async with self.federation.shared.database.read() as connection:
            tables = {
                table.name: sorted(repr(tuple(row)) for row in await connection.execute(select(table)))
                for table in metadata.sorted_tables
            }
        for kind in (REFUSED, CALLED):  # written in the background, at any time
            tables["events"] = [row for row in tables["events"] if f"'{kind}'" not in row]
        spool = self.data_dir / "spool"
        files = {str(path.relative_to(spool)): path.stat().st_size for path in spool.rglob("*") if path.is_file()}
        return Snapshot(tables, files)

    @asynccontextmanager
    async def client(
        self, token: str | None = None, *, transport: str = "http", mode: str = "auto", **kwargs: Any
    ) -> AsyncGenerator[Client]:
        """The SDK's client, over `http` or `sse`, of the `auto` (modern) or the `legacy` era."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if transport == "sse":
            async with Client(sse_client(f"{self.base}/sse", headers=headers), mode=mode, **kwargs) as client:
                yield client
            return
        async with httpx2.AsyncClient(headers=headers, timeout=30, verify=NO_TLS) as http:
            line = streamable_http_client(f"{self.base}/mcp", http_client=http)
            async with Client(line, mode=mode, **kwargs) as client:
                yield client


class _Quiet(uvicorn.Server):
    """Says when it is up, stops when it is told to, and leaves the process's signal handlers alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._told = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        """uvicorn's, which would only look every so often whether it is to stop."""
        ticks = itertools.count()
        while not await self.on_tick(next(ticks)):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._told.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    data_dir: Path,
    *,
    clockwork: bool = False,
    limits: Limits | None = None,
    quota_bytes: int | None = None,
    pages_for: PagesFor | None = None,
    **settings: Any,
) -> AsyncGenerator[Served]:
    """A server for as long as the context lasts. Its clock stands still; rounds close at `close_due_rounds`."""
    clock = StoppedClock()
    # Tests come from one address, with many wrong tokens.
    chosen = Settings(data_dir=data_dir, port=0, **({"failures_per_minute": 0} | settings))
    workload = Workload()
    begin(data_dir)
    with listen(chosen) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            open_federation(
                data_dir,
                workload,
                simulator=Simulator(),
                clock=clock,
                clockwork=clockwork,
                limits=limits
                or Limits(node_quota_share=chosen.node_quota_share, max_simulations=chosen.max_simulations),
                quota_bytes=quota_bytes,
            ) as federation,
            httpx2.AsyncClient(base_url=base, timeout=30, verify=NO_TLS) as http,
        ):
            config = listening(build_app(chosen, federation, workload, pages_for), chosen, grace_s=1)
            config.timeout_graceful_shutdown = GRACE_S  # type: ignore[assignment]  # uvicorn waits as long as it says
            server = _Quiet(config)
            running = asyncio.create_task(server.serve(sockets=[listener]))
            await asyncio.wait([asyncio.create_task(server.up.wait()), running], return_when=asyncio.FIRST_COMPLETED)
            try:
                yield Served(base, data_dir, chosen, federation, clock, http)
            finally:
                server.stop()
                await running
