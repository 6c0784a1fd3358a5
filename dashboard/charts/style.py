"""How every chart looks. Colours are the page's own variables, so a chart follows the theme without being sent anew.

The colours are Okabe and Ito's (jfly.uni-koeln.de/color, 2008), made darker or lighter until they stand out 3:1 from
either ground. No series is told apart by its colour alone: each has a dash pattern and a marker of its own as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any

import plotly.graph_objects as go

HEIGHT = 260
"""Pixels; what fits a phone beside its heading."""

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
_LABEL_PX = 15
_FONT = "system-ui, sans-serif"


@dataclass(frozen=True)
class Ink:
    """How one series is drawn: a CSS variable of the page, a dash pattern and a marker."""

    colour: str
    dash: str
    symbol: str


def ink(place: int) -> Ink:
    """The look of the series at this place, from 0. The first 36 differ in colour, dash or marker."""
    lap, at = divmod(place, len(_DASHES))
    return Ink(f"var(--line-{at})", _DASHES[(at + lap) % len(_DASHES)], _SYMBOLS[(at + lap) % len(_SYMBOLS)])


def figure(*, x: str, y: str, height: int = HEIGHT, whole_x: bool = True) -> go.Figure:
    """An empty chart with the page's look.

    Args:
        x: title of the x axis, with its unit.
        y: title of the y axis, with its unit. It stands above the axis, where a phone has room for it.
        height: in pixels. The width is that of its place.
        whole_x: whether x counts something, such as rounds.
    """
    axis: dict[str, Any] = {
        "gridcolor": "var(--rule)",
        "zeroline": False,
        "linecolor": "var(--field)",
        "tickcolor": "var(--field)",
        "ticks": "outside",
        "automargin": True,
        "fixedrange": False,
    }
    counted = {"tickformat": "d", "nticks": 8} if whole_x else {}
    layout: dict[str, Any] = {
        "template": go.layout.Template(),  # the default one would travel with every chart
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 34, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 12.5, "color": "var(--soft)"},
        "xaxis": axis | {"title": {"text": x, "standoff": 6, "font": {"size": 12.5}}} | counted,
        "yaxis": axis | {"nticks": 6},
        "annotations": [_above(y)],
        "hoverlabel": {"bgcolor": "var(--solid)", "bordercolor": "var(--field)", "font": {"color": "var(--ink)"}},
        "hovermode": "x unified" if whole_x else "closest",
        "legend": {
            "orientation": "h",
            "x": 1,
            "xanchor": "right",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
        },
        "showlegend": False,
        "dragmode": "zoom",
        "uirevision": "kept",  # what a person has zoomed into stays so when new points come
        "bargap": 0.2,
    }
    return go.Figure(layout=layout)  # at once: updating a figure checks it all over again


def line(chart: go.Figure, name: str, x: Sequence[float], y: Sequence[float | None], place: int, **more: Any) -> None:
    """Adds a series, with a gap wherever a value is missing. `name` may be a stranger's text."""
    look = ink(place)
    chart.add_trace(
        go.Scatter(
            x=list(x),
            y=[value if value is not None and math.isfinite(value) else None for value in y],
            name=plain(name),
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 2.2},
            marker={"color": look.colour, "symbol": look.symbol, "size": 6.5},
            **more,
        )
    )


def label_ends(chart: go.Figure, *, from_zero: bool = False) -> None:
    """Writes the name of each line beside its end, so that nobody has to match colours. Names do not overlap.

    Args:
        from_zero: whether the y axis begins there; else where the values do.
    """
    ends = []
    for trace in chart.data:
        known = [y for y in trace.y if y is not None]
        if known:
            ends.append((known[-1], str(trace.name), trace.line.color))
    if not ends:
        return
    values = [y for trace in chart.data for y in trace.y if y is not None] + [0.0] * from_zero
    pixels = (chart.layout.height - 95) / ((max(values) - min(values)) or 1.0)
    ends.sort()
    at = [y * pixels for y, *_ in ends]
    for place in range(1, len(at)):
        at[place] = max(at[place], at[place - 1] + _LABEL_PX)
    for (y, name, colour), pixel in zip(ends, at, strict=True):
        chart.add_annotation(
            x=1,
            xref="paper",
            y=y,
            text=name,
            font={"color": colour, "size": 12},
            showarrow=False,
            xanchor="left",
            xshift=4,
            yshift=round(pixel - y * pixels),
        )
    longest = max(len(unescape(name)) for _, name, _ in ends)
    chart.update_layout(margin={"r": min(130, 14 + 7 * longest)})
    if from_zero:
        chart.update_yaxes(rangemode="tozero")


def plain(text: str, most: int = 40) -> str:
    """A stranger's text for a chart: Plotly reads some HTML in its labels, so none is left."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _above(text: str) -> dict[str, Any]:
    """The y axis's title, level and above it."""
    return {
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 8,
        "xshift": -4,
        "showarrow": False,
        "font": {"color": "var(--soft)", "size": 12.5},
    }
