"""A square to draw in, by mouse, pen or finger."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_SCRIPT = Path(__file__).with_name("canvas.js").read_text(encoding="utf-8")
_MARKUP = (
    '<div class="pad"><canvas width="280" height="280" role="img" aria-label="Square to draw in"></canvas>'
    '<div class="pad-tools"><button type="button" class="clear">Clear</button>'
    '<label>Pen <input type="range" min="8" max="36" value="20" aria-label="Width of the pen"></label></div></div>'
)


def canvas() -> gr.HTML:
    """Its value is the drawing as a PNG's data URL; it changes when a stroke ends."""
    return gr.HTML("", html_template=_MARKUP, js_on_load=_SCRIPT, elem_id="drawing", apply_default_css=False)
