"""When a tab's content is read: as it is opened, and again as somebody else signs in. Unopened tabs cost nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import gradio as gr
from gradio.context import get_render_context

from dashboard.sign_in import Session

Read = Callable[..., Awaitable[list[Any]]]


def on_open(
    session: Session, read: Read, inputs: Sequence[Any], outputs: Sequence[Any], js: str | None = None
) -> tuple[Any, Any, gr.State]:
    """Calls `read` when the tab that is being laid out is opened, and when the visitor of an open tab changes.

    Args:
        read: takes the request and the token, then the inputs.
        js: makes the inputs, the token first, into what is sent.

    Returns:
        Both events, for what is to come after them, and whether the tab has ever been opened.
    """
    tab = get_render_context()
    if not isinstance(tab, gr.Tab):
        raise TypeError("tabs are laid out inside of gr.Tab")
    opened = gr.State(False)

    async def again(request: gr.Request, token: str | None, *given: Any) -> list[Any]:
        *values, was_opened = given
        return await read(request, token, *values) if was_opened else [gr.skip() for _ in outputs]

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(lambda: True, None, [opened], **quiet)
    return (
        tab.select(read, [session.token, *inputs], list(outputs), js=js, **quiet),
        session.token.change(again, [session.token, *inputs, opened], list(outputs), js=js, **quiet),
        opened,
    )
