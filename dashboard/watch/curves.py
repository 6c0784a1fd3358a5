"""Curves across rounds, made of a task's rounds and metrics: each a figure, or None where there is nothing to draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import plotly.graph_objects as go

from dashboard.charts.style import figure, ink, label_ends, line
from dashboard.watch.naming import name_of, shortened
from dashboard.watch.reading import Picture, Record

_MOST_LINES = 6
_MB = 1e6

TITLES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "perplexity": "Perplexity",
    "agreement": "Agreement and fairness",
    "lora-error": "Error of the adapters’ mean",
    "memory": "Peak memory of nodes",
    "bytes": "Bytes a round",
    "seconds": "Seconds a round",
    "classes": "Accuracy by class",
}
"""Names of the curves, in the order in which they stand on the page."""

EMPTY = {
    "accuracy": "Accuracy is measured when the first round has made a model.",
    "loss": "Loss is measured when the first round has made a model.",
    "bytes": "Bytes are counted when the first round is over.",
}
"""What stands in the place of a curve that will come; others stay away until they do."""


def extent(seen: Picture) -> str:
    """Which rounds the curves take in, where those are not all: the server tells of the latest ones."""
    rounds = (seen.task or {}).get("rounds", ())
    first = int(rounds[0]["round"]) if rounds else 1
    return f"Rounds {first} to {rounds[-1]['round']}; earlier ones are kept on the server." if first > 1 else ""


def curves(seen: Picture) -> dict[str, go.Figure | None]:
    """All of them."""
    if seen.task is None:
        return dict.fromkeys(TITLES)
    return {
        "accuracy": _scores(
            seen, "Accuracy, %", (("server", "accuracy"), ("nodes", "eval_accuracy")), 100.0, "accuracy"
        ),
        "loss": _scores(
            seen, "Loss, nats", (("server", "loss"), ("nodes", "eval_loss"), ("training", "train_loss")), 1.0, "loss"
        ),
        "perplexity": _scores(seen, "Perplexity", (("server", "perplexity"),), 1.0, ""),
        "agreement": _scores(
            seen, "0 to 1", (("agreement", "update_agreement"), ("fairness", "participation_fairness")), 1.0, ""
        ),
        "lora-error": _scores(seen, "Relative error", (("error", "lora_error"),), 1.0, ""),
        "memory": memory(seen),
        "bytes": traffic(seen.task["rounds"]),
        "seconds": seconds(seen.task["rounds"]),
        "classes": classes(seen),
    }


def by_round(seen: Picture, name: str) -> dict[int, float]:
    """A metric of the server or the nodes' mean by the round that made the version measured; 0: the initial model."""
    task = seen.task or {"rounds": []}
    made = {int(each["version"]): int(each["round"]) for each in task["rounds"] if each["version"] is not None}
    made.setdefault(0, 0)
    trained = name.startswith("train_")
    found = {}
    for row in seen.metrics:
        if row["name"] == name and row["source"] in ("server", "nodes"):
            number = int(row["round"]) if trained else made.get(int(row["version"]))
            if number is not None:
                found[number] = float(row["value"])
    return found


def _scores(
    seen: Picture, title: str, lines: tuple[tuple[str, str], ...], unit: float, best_by: str
) -> go.Figure | None:
    found = {label: by_round(seen, name) for label, name in lines}
    if not any(found.values()):
        return None
    chart = figure(x="Round", y=title)
    for place, (label, values) in enumerate(found.items()):
        if values:
            numbers = sorted(values)
            line(chart, label, numbers, [values[each] * unit for each in numbers], place)
    label_ends(chart)
    if best_by:
        _mark_best(chart, seen, found, unit)
    return chart


def _mark_best(chart: go.Figure, seen: Picture, found: Mapping[str, Mapping[int, float]], unit: float) -> None:
    """A ring around the best version, on the server's line or else on the nodes'."""
    task = seen.task or {}
    version = (task.get("best") or {}).get("version")
    made = {r["version"]: int(r["round"]) for r in task.get("rounds", ())} | {0: 0}
    if (at := made.get(version)) is None or version is None:
        return
    for values in found.values():
        if at in values:
            ring = {"symbol": "circle-open", "size": 15, "color": "var(--ink)", "line": {"width": 2}}
            chart.add_trace(
                go.Scatter(x=[at], y=[values[at] * unit], mode="markers", name=f"best: v{version}", marker=ring)
            )
            return


def memory(seen: Picture) -> go.Figure | None:
    """The most memory that each node's process has held by a round; of many nodes, the largest."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for row in seen.metrics:
        if row["source"] == "node" and row["name"] == "memory_bytes":
            found[str(row["node_id"])][int(row["round"])] = float(row["value"]) / _MB
    for member in (seen.task or {}).get("nodes") or ():
        progress = member["progress"] or {}
        if progress.get("memory_bytes") and progress.get("round"):
            mine, number = found[member["node_id"]], int(progress["round"])
            mine[number] = max(mine.get(number, 0.0), float(progress["memory_bytes"]) / _MB)
    if not found:
        return None
    largest = sorted(found, key=lambda node_id: -max(found[node_id].values()))[:_MOST_LINES]
    chart = figure(x="Round", y="MB" if len(found) <= _MOST_LINES else f"MB, the largest {_MOST_LINES} of {len(found)}")
    known = shortened(name_of(node_id, seen) for node_id in largest)
    for place, node_id in enumerate(sorted(largest)):
        numbers = sorted(found[node_id])
        line(chart, known[name_of(node_id, seen)], numbers, [found[node_id][each] for each in numbers], place)
    label_ends(chart, from_zero=True)
    return chart


def traffic(rounds: list[Record]) -> go.Figure | None:
    """Bytes of models down to nodes and of updates up from them."""
    over = [each for each in rounds if each["bytes_up"] or each["bytes_down"]]
    if not over:
        return None
    chart = figure(x="Round", y="Megabytes")
    numbers = [each["round"] for each in over]
    for place, (name, column, pattern) in enumerate((("up", "bytes_up", ""), ("down", "bytes_down", "/"))):
        chart.add_trace(
            go.Bar(
                x=numbers,
                y=[each[column] / 1e6 for each in over],
                name=name,
                marker={
                    "color": ink(place).colour,
                    "pattern": {  # by default a pattern takes the place of the colour, and is all that is seen
                        "shape": pattern,
                        "fillmode": "overlay",
                        "fgcolor": "var(--solid)",
                        "fgopacity": 1,
                        "size": 6,
                        "solidity": 0.35,
                    },
                },
            )
        )
    chart.update_layout(barmode="group", showlegend=True)
    return chart


def seconds(rounds: list[Record]) -> go.Figure | None:
    """How long each round took from its cohort to its version."""
    over = [each for each in rounds if each["seconds"] is not None]
    if not over:
        return None
    chart = figure(x="Round", y="Seconds")
    line(chart, "seconds", [each["round"] for each in over], [each["seconds"] for each in over], 5)
    chart.update_yaxes(rangemode="tozero")
    return chart


def classes(seen: Picture) -> go.Figure | None:
    """The share of each class that the chosen version labels right."""
    scores = (seen.version or {}).get("metrics", {})
    prefix = "accuracy.class_"
    found = {int(name.removeprefix(prefix)): value for name, value in scores.items() if name.startswith(prefix)}
    if not found:
        return None
    numbers = sorted(found)
    chart = figure(x=f"Class, of v{(seen.version or {})['version']}", y="Accuracy, %")
    heights = [100 * found[each] for each in numbers]
    chart.add_trace(
        go.Bar(
            x=numbers,
            y=heights,
            name="accuracy",
            marker={"color": ink(0).colour},
            text=[f"{height:.0f}" for height in heights] if len(numbers) <= 12 else None,
            textposition="outside",
            cliponaxis=False,
        )
    )
    chart.update_xaxes(nticks=min(20, len(numbers)), dtick=1 if len(numbers) <= 12 else None)
    chart.update_yaxes(range=[0, 108], tickvals=[0, 25, 50, 75, 100])
    return chart
