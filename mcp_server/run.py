"""Runs a server: opens the federation, listens, says where it is, and stops in order."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import uvicorn
from mcp.server.auth.provider import AccessToken
from starlette.applications import Starlette

from federation.coordinator.federation import Federation, open_federation
from federation.coordinator.notices import Notices
from federation.errors import ErrorCode, Refused
from federation.tokens import FIRST_OPERATOR, Role
from mcp_server.address import remove_address, write_address
from mcp_server.app import build_app
from mcp_server.auth import Callers, local_operator
from mcp_server.hosts import accepted_hosts
from mcp_server.logs import configure
from mcp_server.settings import Settings
from mcp_server.stdio.local import serve_wire
from mcp_server.stdio.wire import Wire
from resources.workload import Workload

log = logging.getLogger("potluck")

_GRACE_S = 3


def serve(settings: Settings, wire: Wire | None = None, token: str | None = None) -> None:
    """Serves until SIGINT or SIGTERM, or until the host at the other end of `wire` closes it.

    Args:
        wire: serve a host at the standard streams too, as the holder of `token`; without one, as the operator that
            whoever started this process is anyway.

    Raises:
        Occupied: another server owns the data directory.
        Refused: the port is taken, or the token is not valid.
    """
    import torch

    configure(settings.log_format, settings.log_level)
    # uvicorn stops in order and then raises the signal again; by default that would end the process before the
    # database is closed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    torch.set_num_threads(settings.torch_threads)
    with asyncio.Runner(loop_factory=uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()) as runner:
        runner.run(_serve(settings, wire, token))


async def _serve(settings: Settings, wire: Wire | None, host_token: str | None) -> None:
    workload = Workload()
    with _listen(settings, anywhere=wire is not None and "port" not in settings.model_fields_set) as listener:
        async with open_federation(settings.data_dir, workload, quota_bytes=settings.quota_bytes) as federation:
            token = await _first_token(settings, federation)
            token = token if wire is None else None  # hosts keep what a server writes to stderr
            app = build_app(settings, federation, workload)
            config = uvicorn.Config(
                app,
                ssl_certfile=settings.ssl_certfile,
                ssl_keyfile=str(settings.ssl_keyfile) if settings.ssl_keyfile else None,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
            url = base_url(settings, listener.getsockname()[1])
            server = _Server(config, settings, federation.shared.notices, url, token)
            with ExitStack() as host:
                if wire is not None:
                    who = await _identity(Callers(settings, federation.tokens), settings, host_token)
                    host.callback(_serve_host(server, app, wire, who).cancel)
                try:
                    await server.serve(sockets=[listener])
                finally:
                    remove_address(settings.data_dir)


async def _identity(
    callers: Callers, settings: Settings, token: str | None
) -> Callable[[], Awaitable[AccessToken | None]]:
    """Who the host at the standard streams is, to be asked again with each of its messages."""

    async def operator() -> AccessToken | None:
        return local_operator(settings)

    async def holder() -> AccessToken | None:
        return await callers.holder(token or "")

    if token is not None and await callers.holder(token) is None:
        raise Refused(
            ErrorCode.FORBIDDEN,
            "the bearer token for the host at the standard streams is wrong, revoked or expired.",
            "leave out --token and POTLUCK_TOKEN to be the operator, or give a valid one",
        )
    return operator if token is None else holder


def _serve_host(
    server: uvicorn.Server, app: Starlette, wire: Wire, who: Callable[[], Awaitable[AccessToken | None]]
) -> asyncio.Task[None]:
    """Serves the host beside the network; when it leaves, the server stops."""

    def left(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the host at the standard streams was lost", exc_info=error)
        server.handle_exit(signal.SIGTERM, None)  # as a signal would, so that open streams hear of it

    task = asyncio.create_task(serve_wire(wire, app.state.protocol, app.state.potluck, who))
    task.add_done_callback(left)
    return task


class _Server(uvicorn.Server):
    """Says where it is once it accepts connections, and lets nobody wait for work when it stops."""

    def __init__(
        self, config: uvicorn.Config, settings: Settings, notices: Notices, url: str, token: str | None
    ) -> None:
        super().__init__(config)
        self._settings, self._notices, self._url, self._token = settings, notices, url, token

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            write_address(self._settings.data_dir, self._url, self._settings.ssl_certfile)
            print(greeting(self._settings, self._url, self._token), file=sys.stderr, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        remove_address(self._settings.data_dir)  # first: whoever starts now must not turn to a server that stops
        self._notices.stop()
        await super().shutdown(sockets)


def greeting(settings: Settings, url: str, token: str | None) -> str:
    """What a start prints: where the server is, what it accepts, and how a node joins."""
    scheme = (
        "every caller may do everything (--open)" if settings.open else f"without a token: {settings.anonymous_role}"
    )
    nodes_need_token = not settings.open and settings.anonymous_role != "node"
    join = f"potluck join {url} --task TASK_ID" + (" --token NODE_TOKEN" if nodes_need_token else "")
    lines = [
        ("mcp endpoint", f"{url}/mcp"),
        ("legacy sse", f"{url}/sse"),
        ("data", str(settings.data_dir.resolve())),
        ("accepted hosts", ", ".join(accepted_hosts(settings))),
        ("callers", scheme),
        ("join", join),
    ]
    if nodes_need_token:
        lines.append(("node tokens", f"potluck token {url} --role node --token OPERATOR_TOKEN"))
    if token is not None:
        lines.append(("operator token", f"{token}  (shown once; again: potluck token --data-dir {settings.data_dir})"))
    return "\n".join(f"{name:<15} {value}" for name, value in lines)


def base_url(settings: Settings, port: int) -> str:
    """The URL that clients are given: the bound address, or this machine's name when bound to all."""
    host = socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared with
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.ssl_certfile else 'http'}://{host}:{port}{settings.base_path}"


async def _first_token(settings: Settings, federation: Federation) -> str | None:
    """The operator's token when it is to be shown: this start made it, and none was preset."""
    try:
        token, new = await federation.tokens.issue(
            Role.OPERATOR, label="first operator", request_id=FIRST_OPERATOR, actor="server"
        )
    except Refused:  # it was revoked, which stands
        return None
    return token.secret if new and not settings.open and settings.operator_token is None else None


def _listen(settings: Settings, *, anywhere: bool = False) -> socket.socket:
    """A bound socket. `anywhere`: nobody asked for this very port, so a free one will do when it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # named, or asyncio leaves Nagle's delay on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        if anywhere and error.errno == errno.EADDRINUSE:
            log.warning("port %d is taken; taking a free one (--port asks for a port and no other)", settings.port)
            listener.bind((settings.host, 0))
            listener.set_inheritable(True)
            return listener
        listener.close()
        raise Refused(
            ErrorCode.BUSY,
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            "choose another --port (0: a free one) or --host",
        ) from None
    listener.set_inheritable(True)
    return listener
