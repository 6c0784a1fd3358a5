"""x"""

from __future__ import annotations

import gradio as gr

from dashboard.desk import Desk
from dashboard.sign_in import Session


def simulate_tab(desk: Desk, session: Session) -> None:
    """x"""
    gr.Markdown("simulate")
