"""The page: who is looking, and five tabs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from dashboard.desk import Desk
from dashboard.join_tab import join_tab
from dashboard.live import Live
from dashboard.new_task_tab import new_task_tab
from dashboard.sign_in import Session, sign_in
from dashboard.simulate_tab import simulate_tab
from dashboard.steering_look import STEERING
from dashboard.theme import STYLES, head, theme
from dashboard.try_it_tab import try_it_tab
from dashboard.watch.tab import federation_tab


@dataclass(frozen=True)
class Page:
    """The blocks, and how they look."""

    blocks: gr.Blocks
    theme: Any = None
    css_paths: list[Path] = field(default_factory=list)
    head: str = ""


def page(desk: Desk, live: Live, *, hub_sign_in: bool) -> Page:
    """The whole dashboard."""
    with gr.Blocks(title="Potluck", analytics_enabled=False, fill_width=True, delete_cache=(300, 900)) as blocks:
        session: Session = sign_in(desk, hub_sign_in=hub_sign_in)
        with gr.Tabs():
            with gr.Tab("Federation", id="federation"):
                federation_tab(desk, session, live, blocks)
            with gr.Tab("New task", id="new-task"):
                new_task_tab(desk, session)
            with gr.Tab("Simulate", id="simulate"):
                simulate_tab(desk, session, live, blocks)
            with gr.Tab("Try it", id="try-it"):
                try_it_tab(desk, session)
            with gr.Tab("Join", id="join"):
                join_tab(desk, session)
    return Page(blocks, theme=theme(), css_paths=[*STYLES, STEERING], head=head())
