"""Runs side by side: curves, a table, and the same as CSV."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence

import plotly.graph_objects as go

from dashboard.charts.style import figure, line
from dashboard.markup import chip, state_chip, table
from dashboard.simulate.runs import Run
from dashboard.words import number, percent, said


def curves(runs: Sequence[Run], what: str) -> go.Figure | None:
    """`accuracy` or `loss` over rounds, a line a run; None before anything was measured."""
    if not any(run.points for run in runs):
        return None
    chart = figure(x="round", y=what, height=300)
    place = 1 if what == "accuracy" else 2
    for at, (run, name) in enumerate(zip(runs, labels(runs), strict=True)):
        line(chart, name, [point[0] for point in run.points], [point[place] for point in run.points], at)
    chart.update_layout(
        showlegend=True, legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.22, "yanchor": "top"}
    )
    last = max(run.rounds for run in runs)
    chart.update_xaxes(range=[0, last + 0.2], dtick=1 if last <= 8 else None)
    if what == "accuracy":
        chart.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return chart


def labels(runs: Sequence[Run]) -> list[str]:
    """A name a run, by which it is told apart: what only some of the names have comes first, as a legend cuts the end.
    Runs of one name are numbered."""
    pieces = [run.name.split(", ") for run in runs]
    shared = set(pieces[0]).intersection(*pieces[1:]) if len(runs) > 1 else set()
    found = []
    for each in pieces:
        own = [piece for piece in each if piece not in shared]
        found.append(", ".join([*own, *(piece for piece in each if piece in shared)]))
    return [f"{at}: {name}" if found.count(name) > 1 else name for at, name in enumerate(found, start=1)]


def standings(runs: Sequence[Run], target: float) -> str:
    """What each run was and came to."""
    head = ("Run", "State", "Rule", "Partition", "Attack", "Final", "Best", "Loss", f"Rounds to {target:.0%}")
    rows = [
        (
            said(run.name, 80),
            state_chip(run.state) + (f" {chip(run.progress, 'busy')}" if run.progress else ""),
            said(run.rule),
            said(run.cut),
            said(run.attack),
            percent(run.final[0]),
            percent(run.best),
            number(run.final[1]),
            "–" if (reached := run.reached(target)) is None else str(reached),
        )
        for run in runs
    ]
    return table("Runs compared", head, rows, frozenset({2, 3, 4}))


def sheet(runs: Sequence[Run]) -> str:
    """Every point as CSV."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("task_id", "name", "rule", "partition", "attack", "round", "accuracy", "loss"))
    for run in runs:
        known = [_harmless(text) for text in (run.task_id, run.name, run.rule, run.cut, run.attack)]
        writer.writerows((*known, *point) for point in run.points)
    return out.getvalue()


def download(runs: Sequence[Run]) -> str:
    """A link to the CSV, which is in the link itself."""
    packed = base64.b64encode(sheet(runs).encode()).decode()
    return f'<a class="download" download="potluck-runs.csv" href="data:text/csv;base64,{packed}">Download as CSV</a>'


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text
