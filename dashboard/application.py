"""The dashboard as an ASGI application."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import gradio as gr
from starlette.applications import Starlette
from starlette.routing import Route

from dashboard.charts.plotly_script import plotly_script, script_path
from dashboard.desk import Desk
from dashboard.live import MOST, Live
from dashboard.page import page
from dashboard.principal import Connect


@dataclass(frozen=True)
class Options:
    """What differs from place to place.

    Attributes:
        hub_sign_in: offer to sign in at Hugging Face. Only inside a Space: elsewhere, Gradio would take every visitor
            for the Hugging Face account of whoever runs the server.
    """

    hub_sign_in: bool = False


_SHORT = 20
"""Events of one kind at a time: a slow answer to one visitor is not to hold up the others."""
_WAITING, _SLOTS, _SESSIONS = 500, 200, 1_000
"""Events that may wait, slots for those that end by themselves, and visitors that are remembered."""

_SWEEP_S = 30.0
"""A page that fetches nothing for so long, or up to twice as long, is not there. A browser fetches at once."""


def application(connect: Connect, options: Options | None = None) -> Starlette:
    """The dashboard around MCP clients, to be mounted at the root."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing calls home
    live = Live(connect)
    shown = page(Desk(connect), live, hub_sign_in=(options or Options()).hub_sign_in)
    blocks = shown.blocks
    blocks.queue(default_concurrency_limit=_SHORT, max_size=_WAITING)
    # A page that is kept up to date holds a slot of the queue for each tab that is, as long as it is open. Slots are a
    # list of empty places, no threads; `launch` would set their number, which nobody calls here.
    blocks._queue.max_thread_count = 2 * MOST + _SLOTS
    blocks.state_session_capacity = _SESSIONS

    def closed(request: gr.Request) -> None:
        """A page has closed: what it held is let go at once, its token above all. Gradio would keep it for an hour."""
        blocks.state_holder.session_data.pop(str(request.session_hash), None)

    with blocks:
        blocks.unload(closed)

    def unread(page: str) -> bool:
        told = blocks._queue.pending_messages_per_session.get(page.partition(" ")[0])
        return told is not None and not told.empty()

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            live.sweep(unread)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(sweep(), name="dashboard sweeps")
        yield
        sweeping.cancel()
        await live.close()

    shell = Starlette(routes=[Route(f"/{script_path()}", plotly_script)], lifespan=lifespan)
    gr.mount_gradio_app(
        shell,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        show_error=False,
        max_file_size="8mb",
        theme=shown.theme,
        css_paths=shown.css_paths,
        head=shown.head,
    )
    return shell
