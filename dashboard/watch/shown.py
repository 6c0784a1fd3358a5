"""What the tab's parts show of a picture, and what of it a page does not show yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from dashboard.charts.drawing import Chart
from dashboard.markup import paragraph
from dashboard.watch import cohort, contributions, curves, levers, lineage, overview
from dashboard.watch.reading import Choice, Picture, Record

Shown = dict[str, Any]
"""By part: markup, whether it is visible, or a list with what is chosen of it."""

LATEST, CURRENT = 0, -1
"""What stands for no round and no version in lists."""

_SUMMARIZE = "summarize_training"


def shown(seen: Picture, charts: Mapping[str, Chart], choice: Choice) -> Shown:
    """A picture as what each part shows."""
    task = seen.task
    found: Shown = {
        "tasks": (overview.choices(seen), None if task is None else task["task_id"]),
        "nothing": overview.beside_tasks(seen),
        "nodes": overview.nodes(seen),
        "glance": overview.glance(seen),
        "cohort": cohort.cohort(seen),
        "extent": paragraph(extent) if (extent := curves.extent(seen)) else "",
        "contributions": contributions.contributions(seen),
        "lineage": lineage.lineage(seen),
        "version": lineage.detail(seen),
        "rounds": _rounds(task, choice.round),
        "versions": _versions(task, choice.version),
        "finder": seen.sees,
        "nodes-known": seen.sees,
        "chosen": task is not None,
        "export": "export_model" in seen.tools and task is not None,
        "summarize": _SUMMARIZE in seen.tools and task is not None,
    }
    offered = levers.offered(seen)
    found |= {f"lever-{action}": action in offered for action in levers.ACTIONS}
    drawn = curves.curves(seen) | {"weights": contributions.weights(seen), "directions": contributions.directions(seen)}
    return found | {
        f"chart-{name}": chart.drawn(drawn[name], curves.EMPTY.get(name, "")) for name, chart in charts.items()
    }


def updates(new: Shown, page: Shown) -> list[Any]:
    """What Gradio is told, for the parts in their order: nothing of a part that shows it already. Notes what it told.

    Args:
        page: what the page shows; kept up to date.
    """
    told = [gr.skip() if name in page and page[name] == value else _update(name, value) for name, value in new.items()]
    page.update(new)
    return told


def _update(name: str, value: Any) -> Any:
    make: Callable[[Any], Any] = gr.update
    if isinstance(value, bool):
        return make(visible=value)  # type: ignore[call-arg]
    if isinstance(value, tuple):
        choices, chosen = value
        return gr.update(choices=choices, value=chosen, visible=bool(choices))
    return value


def _rounds(task: Record | None, chosen: int | None) -> tuple[list[tuple[str, int]], int]:
    numbers = [int(each["round"]) for each in reversed((task or {}).get("rounds", ()))]
    entries = [("Latest that is over", LATEST), *((f"Round {number}", number) for number in numbers)]
    return entries, chosen if chosen in numbers else LATEST


def _versions(task: Record | None, chosen: int | None) -> tuple[list[tuple[str, int]], int]:
    entries = [("The current one", CURRENT), *(lineage.choices(task) if task else ())]
    known = [value for _, value in entries]
    return entries, chosen if chosen is not None and chosen in known else CURRENT
