"""When a tab's content is read: as it is opened, and again as somebody else signs in. Closed tabs cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.context import get_render_context

from dashboard.sign_in import Session


def on_open(
    session: Session, read: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], *also: Any
) -> None:
    """Calls `read` when the tab that is being laid out is opened, when the visitor changes, and at the triggers `also`.

    Args:
        inputs: beside `session.token`, which comes first.
    """
    tab = get_render_context()
    if not isinstance(tab, gr.Tab):
        raise TypeError("tabs are laid out inside of gr.Tab")
    gr.on(
        [tab.select, session.token.change, *also],
        read,
        [session.token, *inputs],
        list(outputs),
        show_progress="hidden",
        api_visibility="private",
    )
