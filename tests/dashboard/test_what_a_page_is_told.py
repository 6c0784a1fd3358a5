"""A page is told what it does not show yet, and nothing else."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from dashboard.watch.parts import Parts, laid_out
from dashboard.watch.reading import Choice
from dashboard.watch.shown import Shown, shown, updates
from tests.dashboard.scenes import OPERATOR, VIEWER, seen, task

pytestmark = pytest.mark.anyio


def told(parts: Parts, page: Shown, tools: frozenset[str]) -> dict[str, Any]:
    """Updates that are sent, by part."""
    new = shown(seen(task(state="paused"), tools=tools), parts.charts, Choice())
    return {
        name: each
        for name, each in zip(new, updates(new, page), strict=True)
        if each != gr.skip() and name in parts.hidden()
    }


async def test_a_new_page_is_not_told_to_hide_what_it_hides_and_is_shown_levers_when_somebody_signs_in() -> None:
    with gr.Blocks():
        parts = laid_out()
    page: Shown = dict(parts.hidden())
    first = told(parts, page, VIEWER)
    assert {"chosen", "finder"} <= set(first)
    assert gr.update(visible=False) not in first.values()
    assert {name for name in told(parts, page, OPERATOR) if name.startswith("lever-")} == {
        "lever-resume",
        "lever-cancel",
    }
    assert told(parts, page, OPERATOR) == {}
    away = told(parts, page, VIEWER)
    assert {name for name, each in away.items() if each == gr.update(visible=False)} >= {"lever-resume", "lever-cancel"}
