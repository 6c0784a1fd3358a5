"""What each node brought to a round, with which weight it counted, and why some did not."""

from __future__ import annotations

import plotly.graph_objects as go

from dashboard.charts.style import figure, ink, plain
from dashboard.markup import empty, heading, notice, paragraph, state_chip, table
from dashboard.watch.naming import name_of, short, shortened
from dashboard.watch.reading import Picture, Record
from dashboard.words import duration, many, number, percent, said, size

_MOST_ROWS = 200
_MOST_BARS = 30
_COLUMNS = (
    "Node",
    "Counted as",
    "Weight",
    "Examples",
    "Steps",
    "Norm",
    "Cosine",
    "Score",
    "Train loss",
    "Memory",
    "Size",
)


def contributions(seen: Picture) -> str:
    """The table of a round."""
    into = seen.looked_into
    if seen.task is None:
        return ""
    if into is None:
        return empty("No round is over yet", "Here will stand what each node brought, and how much it counted.")
    took = f", {duration(into['seconds'])}" if into["seconds"] is not None else ""
    made = f"made v{into['version']}" if into["version"] is not None else "made no version"
    title = heading(f"Round {into['round']}", state_chip(into["state"]), level=3)
    line = f"{many(into['submitted'], 'update')} of {into['selected']} selected, {made}{took}."
    reason = notice(f"Why the round is {into['state']}", into["reason"]) if into["reason"] else ""
    called = shortened(name_of(each["node_id"], seen) for each in (*into["updates"], *into["cohort"]))
    rows = [_row(update, seen, into, called) for update in into["updates"][:_MOST_ROWS]]
    brought = {update["node_id"] for update in into["updates"]}
    absent = [one["node_id"] for one in into["cohort"] if one["node_id"] not in brought]
    rows += [_absent(node_id, seen, into, called) for node_id in absent[: max(0, _MOST_ROWS - len(rows))]]
    cut = len(into["updates"]) + len(absent) - len(rows)
    known = [place for place in range(len(_COLUMNS)) if place < 2 or any(row[place] != "–" for row in rows)]
    columns, cells = [_COLUMNS[place] for place in known], [[row[place] for place in known] for row in rows]
    shown = table(f"Updates of round {into['round']}", columns, cells, words=frozenset({1})) if rows else ""
    return title + paragraph(line) + reason + shown + (paragraph(f"and {cut} more") if cut > 0 else "")


def _row(update: Record, seen: Picture, into: Record, known: dict[str, str]) -> list[str]:
    metrics = update["metrics"] or {}
    attacker = ' <span class="small">attacker</span>' if metrics.get("attacker") else ""
    return [
        short(name_of(update["node_id"], seen), known) + attacker,
        said(_counted(update, into), 300),
        percent(update["weight"]),
        number(update["num_examples"]),
        number(update["num_steps"]),
        number(update["norm"]),
        "–" if update["cosine"] is None else f"{update['cosine']:.2f}",
        number(update["score"]),
        number(metrics.get("train_loss")),
        size(metrics.get("memory_bytes")),
        size(update["size"]),
    ]


def _counted(update: Record, into: Record) -> str:
    if update["reason"]:
        return str(update["reason"])
    if into["state"] not in ("closed", "void"):
        return "waits for the round’s end"
    if update["version"] is None:
        return "did not count"
    return "excluded" if update["weight"] == 0 else "counted"


def _absent(node_id: str, seen: Picture, into: Record, known: dict[str, str]) -> list[str]:
    over = into["state"] in ("closed", "void")
    words = "brought nothing in time" if over else "not here yet"
    return [short(name_of(node_id, seen), known), words, *["–"] * (len(_COLUMNS) - 2)]


def weights(seen: Picture) -> go.Figure | None:
    """Weights of a round's updates, largest first."""
    return _bars(seen, "weight", "Share of the round’s weight, %", 100.0, 0)


def directions(seen: Picture) -> go.Figure | None:
    """How far each update pointed the way that the round went: 1 the same, 0 across, −1 against."""
    return _bars(seen, "cosine", "Cosine to the round’s step", 1.0, 1)


def _bars(seen: Picture, column: str, title: str, unit: float, place: int) -> go.Figure | None:
    updates = [one for one in (seen.looked_into or {}).get("updates", ()) if one[column] is not None]
    if not updates:
        return None
    updates = sorted(updates, key=lambda one: float(one[column]), reverse=True)[:_MOST_BARS][::-1]
    chart = figure(x="", y=title, height=90 + 24 * len(updates), whole_x=False)
    names = [name_of(one["node_id"], seen) for one in updates]
    known = shortened(names)
    chart.add_trace(
        go.Bar(
            x=[one[column] * unit for one in updates],
            y=list(range(len(updates))),  # two nodes may have one name
            orientation="h",
            name=title,
            customdata=[plain(name, 80) for name in names],
            hovertemplate="%{customdata}: %{x:.3g}<extra></extra>",
            marker={"color": ink(place).colour},
            text=[f"{one[column] * unit:.3g}" for one in updates],
            textposition="auto",
        )
    )
    chart.update_yaxes(
        tickvals=list(range(len(updates))), ticktext=[plain(known[name]) for name in names], showgrid=False, ticks=""
    )
    return chart
