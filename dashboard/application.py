"""The dashboard as an ASGI application."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import gradio as gr
from starlette.applications import Starlette
from starlette.routing import Route

from dashboard.charts.library import library, path
from dashboard.desk import Desk
from dashboard.live import Live
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


def application(connect: Connect, options: Options | None = None) -> Starlette:
    """The dashboard around MCP clients, to be mounted at the root."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing calls home
    live = Live(connect)
    shown = page(Desk(connect), live, hub_sign_in=(options or Options()).hub_sign_in)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await live.close()

    shell = Starlette(routes=[Route(f"/{path()}", library)], lifespan=lifespan)
    gr.mount_gradio_app(
        shell,
        shown.blocks,
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
