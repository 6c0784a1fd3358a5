"""Runs a server: opens the federation, listens, says where it is, and stops in order."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import uvicorn
from sse_starlette.sse import AppStatus

from federation.coordinator.federation import Federation, open_federation
from federation.coordinator.notices import Notices
from federation.coordinator.ports import Limits
from federation.data_dir import check_free, remove_address, write_address
from federation.errors import ErrorCode, Refused
from federation.tokens import FIRST_OPERATOR, Role
from mcp_server.app import PagesFor, build_app
from mcp_server.auth import Callers
from mcp_server.edge import is_built
from mcp_server.hosts import accepted_hosts
from mcp_server.listening import listening
from mcp_server.logs import configure
from mcp_server.settings import Settings
from mcp_server.stdio.local import host_identity, start_host
from mcp_server.stdio.wire import Wire
from resources.simulate import Simulator
from resources.workload import Workload

log = logging.getLogger("potluck")

_GRACE_S = 2
"""Seconds that a stop gives the requests in progress."""
_ANSWERS_S = 0.5
"""Seconds of these in which long polls are answered before their streams end."""
_THREADS_S = 0.5
"""Seconds that it then gives threads, which cannot be called back."""
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with


def serve(
    settings: Settings, wire: Wire | None = None, token: str | None = None, *, pages_for: PagesFor | None = None
) -> None:
    """Serves until SIGINT or SIGTERM, or until the host at the other end of `wire` closes it.

    Args:
        pages_for: makes the pages for people.
        wire: serve a host at the standard streams too, as the holder of `token`; without one, as the operator that
            whoever started this process is anyway.

    Raises:
        Occupied: another server owns the data directory.
        Refused: the port is taken, or the token is not valid.
    """
    from federation.threads import use_threads

    preset = settings.operator_token
    configure(settings.log_format, settings.log_level, [] if preset is None else [preset.get_secret_value()])
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # `_end_streams` does it
    # uvicorn stops in order and then raises the signal again; by default that would end the process before the
    # database is closed. And a signal that comes before uvicorn listens for it is not to be lost.
    told_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    use_threads(settings.torch_threads)
    workers = ThreadPoolExecutor(thread_name_prefix="worker")
    with asyncio.Runner(loop_factory=uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()) as runner:
        runner.get_loop().set_default_executor(workers)
        try:
            runner.run(_serve(settings, told_to_stop, wire, token, pages_for))
        except KeyboardInterrupt:
            _leave(workers, 130)
            raise
        _leave(workers, 0)


def _leave(workers: ThreadPoolExecutor, exit_code: int) -> None:
    """Ends the process if threads are still at work, which Python would wait for: everything is in order by now."""
    workers.shutdown(wait=False, cancel_futures=True)
    until = time.monotonic() + _THREADS_S
    others = [thread for thread in threading.enumerate() if not thread.daemon]
    for thread in others:
        if thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.info("stopped in the middle of some work, which the next start will do again")
                logging.shutdown()
                os._exit(exit_code)


async def _serve(
    settings: Settings,
    told_to_stop: threading.Event,
    wire: Wire | None,
    host_token: str | None,
    pages_for: PagesFor | None,
) -> None:
    workload = Workload(models=settings.models)
    check_free(settings.data_dir)
    with listen(settings, anywhere=wire is not None and "port" not in settings.model_fields_set) as listener:
        async with open_federation(
            settings.data_dir,
            workload,
            simulator=Simulator(),
            quota_bytes=settings.quota_bytes,
            limits=Limits(node_quota_share=settings.node_quota_share, max_simulations=settings.max_simulations),
        ) as federation:
            token = await _first_token(settings, federation)
            token = token if wire is None else None  # hosts keep what a server writes to stderr
            app = build_app(settings, federation, workload, pages_for)
            config = listening(app, settings, grace_s=_GRACE_S)
            url = base_url(settings, listener.getsockname()[1])
            greet = partial(greeting, settings, url, token, pages=pages_for is not None)
            server = _Server(config, settings, federation.shared.notices, url, greet, told_to_stop)
            with ExitStack() as host:
                if wire is not None:
                    who = await host_identity(Callers(settings, federation.tokens), settings, host_token)
                    host.callback(start_host(server, app, wire, who).cancel)
                try:
                    await server.serve(sockets=[listener])
                finally:
                    remove_address(settings.data_dir)


class _Server(uvicorn.Server):
    """Says where it is once it accepts connections, and lets nobody wait for work when it stops."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: Settings,
        notices: Notices,
        url: str,
        greet: Callable[..., str],
        told_to_stop: threading.Event,
    ) -> None:
        super().__init__(config)
        self._settings, self._notices, self._url, self._greet = settings, notices, url, greet
        self._told_to_stop = told_to_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._told_to_stop.is_set():  # before uvicorn listened for it; once started, it stops in order
            asyncio.get_running_loop().call_soon(self.handle_exit, signal.SIGTERM, None)
        elif not self.should_exit:
            port = sockets[0].getsockname()[1] if sockets else self._settings.port
            local = local_url(self._settings, port)
            write_address(self._settings.data_dir, self._url, self._settings.ssl_certfile, local)
            show = sys.stderr.isatty()
            print(self._greet(show_token=show), file=sys.stderr, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        remove_address(self._settings.data_dir)  # first: whoever starts now must not turn to a server that stops
        self._notices.stop()
        asyncio.get_running_loop().call_later(_ANSWERS_S, _end_streams)
        await super().shutdown(sockets)


def _end_streams() -> None:
    """Ends every event stream. Left to itself, sse-starlette would do so at the signal, and cut answers off."""
    AppStatus.should_exit = True


def greeting(settings: Settings, url: str, token: str | None, *, show_token: bool, pages: bool = False) -> str:
    """What a start prints: where the server is, what it accepts, how a node joins, and a new operator's token.

    Args:
        show_token: whether it goes to people alone. A log that is kept gets the command that prints the token.
        pages: whether there are pages for people at `/`.
    """
    scheme = (
        "every caller may do everything (--open)" if settings.open else f"without a token: {settings.anonymous_role}"
    )
    nodes_need_token = not settings.open and settings.anonymous_role != "node"
    join = f"potluck join {url} --task TASK_ID" + (" --token NODE_TOKEN" if nodes_need_token else "")
    lines = [
        ("mcp endpoint", f"{url}/mcp"),
        ("legacy sse", f"{url}/sse"),
        *([("dashboard", f"{url}/")] if pages else []),
        ("in a browser", f"{url}/edge/" if is_built() else "not built: `make web`, or pip install with Node.js"),
        ("data", str(settings.data_dir.resolve())),
        ("accepted hosts", ", ".join(accepted_hosts(settings))),
        ("callers", scheme),
        ("join", join),
    ]
    if nodes_need_token:
        lines.append(("node tokens", f"potluck token {url} --role node --token OPERATOR_TOKEN"))
    if token is not None:
        again = f"potluck token --data-dir {settings.data_dir}"
        lines.append(("operator token", f"{token}  (shown once; again: {again})" if show_token else again))
    return "\n".join(f"{name:<15} {value}" for name, value in lines)


def base_url(settings: Settings, port: int) -> str:
    """The URL that clients are given: the bound address, or this machine's name when bound to all."""
    return _url(settings, socket.gethostname() if settings.host in _LOOPBACK_OF else settings.host, port)


def local_url(settings: Settings, port: int) -> str:
    """The URL for this machine itself: loopback when bound to all, for its name may lead elsewhere, or nowhere."""
    return _url(settings, _LOOPBACK_OF.get(settings.host, settings.host), port)


def _url(settings: Settings, host: str, port: int) -> str:
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


def listen(settings: Settings, *, anywhere: bool = False) -> socket.socket:
    """The socket that a server listens on; refused (busy) when the address is taken.

    `anywhere`: nobody asked for this very port, so a free one will do when it is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # named, or asyncio leaves Nagle's delay on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(settings.send_timeout_s * 1000)))
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
