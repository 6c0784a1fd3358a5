"""`potluck serve --stdio`: a host at the standard streams, and the one server of its data directory."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from typing import TYPE_CHECKING

from federation.data_dir import Occupied, is_owned, owners_address
from federation.errors import ErrorCode, Refused
from mcp_server.keys import operator_token
from mcp_server.logs import configure
from mcp_server.settings import Settings
from mcp_server.stdio.bridge import Bridge
from mcp_server.stdio.upstream import Upstream
from mcp_server.stdio.wire import Wire

if TYPE_CHECKING:
    from mcp_server.app import PagesFor

log = logging.getLogger("potluck")

_START_S = 60.0
"""Seconds in which another process that owns the directory must accept connections or end."""
_LOOK_S = 0.2


def run_stdio(settings: Settings, wire: Wire, token: str | None, *, pages_for: PagesFor | None = None) -> None:
    """Serves the host on `wire` from the server that runs on the data directory; if none does, by becoming it.

    Raises:
        Refused: no server answers, and none can be started here; or another user may be behind the one that does.
    """
    configure(settings.log_format, settings.log_level)
    deadline = time.monotonic() + _START_S
    while True:
        if not is_owned(settings.data_dir):
            if _served(settings, wire, token, pages_for):
                return
        elif owners_address(settings.data_dir) is not None:
            log.info("a server runs on %s: relaying to it", settings.data_dir)
            asyncio.run(_bridge(settings, wire, token))
            return
        # Otherwise the one that owns the directory is starting, or stopping.
        if time.monotonic() > deadline:
            problem = f"the server on {settings.data_dir} has accepted no connections for {_START_S:.0f} s."
            raise Refused(ErrorCode.BUSY, problem, "look into its log, or stop it")
        time.sleep(_LOOK_S)


def _served(settings: Settings, wire: Wire, token: str | None, pages_for: PagesFor | None) -> bool:
    """Serves until it is over; False when another process got the directory first."""
    from mcp_server.run import serve

    try:
        serve(settings, wire, token, pages_for=pages_for)
    except Occupied:
        return False
    except Refused:
        # Two hosts that start together race for the port before they race for the directory.
        if is_owned(settings.data_dir):
            return False
        raise
    return True


async def _bridge(settings: Settings, wire: Wire, token: str | None) -> None:
    relaying = asyncio.ensure_future(
        Bridge(wire, Upstream(settings.data_dir, lambda: token or operator_token(settings.data_dir))).run()
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, relaying.cancel)
    await asyncio.wait([relaying])
    if not relaying.cancelled():
        relaying.result()
