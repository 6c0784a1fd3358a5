"""The picture of a partition: whose examples are of which class. The numbers are the server's."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.style import figure, plain
from dashboard.words import many, percent


def picture(cut: Mapping[str, Any]) -> go.Figure:
    """Shares across, classes down, the darker the more examples; of data without classes, a bar a share."""
    labels, examples = cut.get("labels"), cut["examples"]
    shares = list(range(len(examples)))
    if not labels:
        chart = figure(x="client", y="examples")
        chart.add_trace(
            go.Bar(
                x=shares,
                y=examples,
                marker={"color": "var(--line-0)"},
                hovertemplate="client %{x}: %{y}<extra></extra>",
            )
        )
        return chart
    classes = [plain(str(name), 16) for name in cut["classes"]]
    chart = figure(x="client", y="examples by class", height=max(240, 60 + 20 * len(classes)), whole_x=False)
    chart.add_trace(
        go.Heatmap(
            x=shares,
            y=classes,
            z=[list(row) for row in zip(*labels, strict=True)],
            colorscale=[[0, "var(--solid)"], [1, "var(--line-0)"]],
            xgap=1 if len(shares) <= 60 else 0,
            ygap=1,
            colorbar={"thickness": 10, "outlinewidth": 0, "len": 0.9},
            hovertemplate="client %{x}, class %{y}: %{z} examples<extra></extra>",
        )
    )
    chart.update_xaxes(showgrid=False, tickformat="d")
    chart.update_yaxes(showgrid=False, type="category", autorange="reversed", nticks=len(classes))
    return chart


def in_words(cut: Mapping[str, Any]) -> str:
    """The same in two sentences, for those who see no picture."""
    examples, labels = cut["examples"], cut.get("labels")
    shown = f" (the first {len(examples)} are shown)" if cut["parts"] > len(examples) else ""
    words = f"{many(cut['parts'], 'client')}{shown}, each with {min(examples):,} to {max(examples):,} examples."
    if not labels:
        return words
    top = median(max(row) / max(1, sum(row)) for row in labels)
    classes = median(sum(count > 0 for count in row) for row in labels)
    words += f" Half of them have at most {classes:g} of the {len(labels[0])} classes, and the class that a typical "
    return words + f"client has most of makes up {percent(top)} of its examples."
