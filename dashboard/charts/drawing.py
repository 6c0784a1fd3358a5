"""A chart's place on the page, and what is sent to it.

gr.Plot makes its chart anew for each value, which flickers and forgets what a person has zoomed into. So the figure
travels as data in one component, and `page.js` has Plotly change the drawing in another.
"""

from __future__ import annotations

import json
from html import escape, unescape

import gradio as gr
import plotly.graph_objects as go


class Chart:
    """A place for a chart; make it inside the page's blocks.

    Attributes:
        data: the component to be an event's output, with `drawn(figure)` for its value.
    """

    def __init__(self, name: str, title: str) -> None:
        """
        Args:
            name: lower-case letters and `-`, unique on the page; also what a downloaded picture is called.
            title: stands above it.
        """
        self.name = name
        shown, kinds = escape(title), (("png", "PNG"), ("svg", "SVG"), ("csv", "CSV"))
        saves = "".join(
            f'<button type="button" data-save="{kind}" aria-label="Download {shown} as {label}">{label}</button>'
            for kind, label in kinds
        )
        gr.HTML(
            f'<figure class="chart" aria-label="{shown}" hidden><figcaption>{shown}<span>{saves}</span></figcaption>'
            f'<div class="plot" data-plot="{escape(name)}"></div></figure>',
            js_on_load=None,
            elem_classes="chart-place",
        )
        self.data = gr.HTML("", js_on_load=None, elem_classes="chart-data")

    def drawn(self, figure: go.Figure | None, empty: str = "") -> str:
        """The value of `data` that draws this figure; see `carried`."""
        return carried(self.name, figure, empty)


def carried(name: str, figure: go.Figure | None, empty: str = "") -> str:
    """A figure as markup that draws it in the place of this name; without one, `empty` stands there, or nothing."""
    said = "" if figure is None else str(figure.to_json())
    return f'<i data-for="{escape(name)}" data-figure="{escape(said)}" data-empty="{escape(empty)}"></i>'


def undrawn(value: str) -> dict[str, object]:
    """The figure in such markup, as the browser finds it."""
    carried = value.partition('data-figure="')[2].partition('"')[0]
    found: dict[str, object] = json.loads(unescape(carried)) if carried else {}
    return found
