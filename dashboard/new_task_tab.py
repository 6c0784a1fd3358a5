"""x"""

from __future__ import annotations

import gradio as gr

from dashboard.desk import Desk
from dashboard.sign_in import Session


def new_task_tab(desk: Desk, session: Session) -> None:
    """x"""
    gr.Markdown("new_task")
