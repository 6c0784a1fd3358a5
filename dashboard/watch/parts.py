"""The Federation tab's parts, laid out: tasks and nodes at the side, the chosen task beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from dashboard.charts.drawing import Chart
from dashboard.markup import heading
from dashboard.watch import curves, levers
from dashboard.watch.reading import KINDS
from dashboard.watch.shown import CURRENT, LATEST


@dataclass
class Parts:
    """What events read and change.

    Attributes:
        shown: what follows the federation, by the names that `shown.shown` gives.
        charts: the charts among them.
        question: where a lever of the task asks; `rolling`: where that of a version does.
    """

    shown: dict[str, Any] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)
    trouble: Any = None
    words: Any = None
    kind: Any = None
    question: Any = None
    rolling: Any = None
    summary: Any = None
    export: Any = None

    def hidden(self) -> dict[str, bool]:
        """What a new page hides. It is not told so again, which could overtake what shows it."""
        return {name: False for name, part in self.shown.items() if not part.visible}


def laid_out() -> Parts:
    """Makes them, inside the page's blocks."""
    parts = Parts(trouble=_html())
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=290, elem_classes="side"):
            _side(parts)
        with gr.Column(scale=3, min_width=320, elem_classes="main-side", visible=False) as parts.shown["chosen"]:
            _task(parts)
            _across_rounds(parts)
            _contributions(parts)
            _versions(parts)
    parts.shown |= {f"chart-{name}": chart.data for name, chart in parts.charts.items()}
    return parts


def _side(parts: Parts) -> None:
    with gr.Column(elem_classes="glass", elem_id="task-list"):
        _html(heading("Tasks"))
        with gr.Column(visible=False) as parts.shown["finder"]:
            parts.words = gr.Textbox(
                placeholder="Name, model, data or state", label="Find", max_lines=1, elem_id="find"
            )
            parts.kind = gr.Radio(list(KINDS), value=KINDS[0], label="Show", elem_id="kind")
        parts.shown["nothing"] = _html('<p class="loading">Looking…</p>')
        parts.shown["tasks"] = gr.Radio([], label="Tasks", show_label=False, visible=False, elem_id="tasks")
    with gr.Column(elem_classes="glass", visible=False) as parts.shown["nodes-known"]:
        parts.shown["nodes"] = _html(elem_id="nodes")


def _task(parts: Parts) -> None:
    with gr.Column(elem_classes="glass", elem_id="task"):
        parts.shown["glance"] = _html(elem_id="glance")
        with gr.Row(elem_classes="levers"):
            for action in levers.ACTIONS[:-1]:
                parts.shown[f"lever-{action}"] = _lever(action)
            parts.shown["summarize"] = gr.Button(
                "Summarize the training", size="sm", visible=False, elem_id="summarize"
            )
        parts.question = gr.Column(visible=False, elem_classes="question", elem_id="question")
        parts.summary = _html(elem_id="summary")
    with gr.Column(elem_classes="glass", elem_id="round"):
        parts.shown["cohort"] = _html()


def _across_rounds(parts: Parts) -> None:
    with gr.Column(elem_classes="glass", elem_id="curves"):
        _html(heading("Across rounds"))
        parts.shown["extent"] = _html()
        with gr.Column(elem_classes="charts"):
            for name, title in curves.TITLES.items():
                parts.charts[name] = Chart(name, title)


def _contributions(parts: Parts) -> None:
    with gr.Column(elem_classes="glass", elem_id="contributions"):
        _html(heading("Contributions"))
        parts.shown["rounds"] = gr.Dropdown(
            [("Latest that is over", LATEST)], value=LATEST, label="Round", filterable=False, elem_id="rounds"
        )
        parts.shown["contributions"] = _html()
        with gr.Column(elem_classes="charts"):
            parts.charts["weights"] = Chart("weights", "Weight of each update")
            parts.charts["directions"] = Chart("directions", "Direction of each update")


def _versions(parts: Parts) -> None:
    with gr.Column(elem_classes="glass", elem_id="versions"):
        _html(heading("Model versions"))
        parts.shown["lineage"] = _html()
        parts.shown["versions"] = gr.Dropdown(
            [("The current one", CURRENT)], value=CURRENT, label="Version", filterable=False, elem_id="which-version"
        )
        parts.shown["version"] = _html(elem_id="version")
        with gr.Row(elem_classes="levers"):
            parts.shown["lever-roll_back"] = _lever("roll_back")
            parts.shown["export"] = gr.Button(
                "Export with its model card", size="sm", visible=False, elem_id="take-away"
            )
        parts.rolling = gr.Column(visible=False, elem_classes="question", elem_id="rolling")
        parts.export = _html(elem_id="export")


def _html(value: str = "", elem_id: str | None = None) -> gr.HTML:
    return gr.HTML(value, js_on_load=None, elem_id=elem_id)


def _lever(action: levers.Action) -> gr.Button:
    variant: Any = {"start": "primary", "resume": "primary", "cancel": "stop"}.get(action, "secondary")
    return gr.Button(levers.LABELS[action], variant=variant, size="sm", visible=False, elem_id=f"lever-{action}")
