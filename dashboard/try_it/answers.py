"""What the versions of a model say to one question, asked one after the other until the server says enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.style import figure, line, plain
from dashboard.desk import Line, Refusal
from dashboard.simulate.runs import spread
from dashboard.try_it.trials import Trial
from dashboard.words import percent, said

MOST_VERSIONS = 12
"""Asked for one question: predict may be called 120 times a minute, and 20 times at once."""


@dataclass(frozen=True)
class Answers:
    """Probabilities by version, oldest first.

    Attributes:
        refusal: what the server said when it would answer no more.
    """

    asked: tuple[int, ...]
    probabilities: Mapping[int, Sequence[float]]
    refusal: Refusal | None = None

    @property
    def latest(self) -> tuple[int, Sequence[float]] | None:
        """The newest version that answered."""
        known = max(self.probabilities, default=None)
        return None if known is None else (known, self.probabilities[known])


async def ask(line: Line, trial: Trial, example: Any) -> Answers:
    """The newest version first, so that there is an answer even where the limit is near."""
    asked = tuple(spread(0, trial.version, MOST_VERSIONS))
    found: dict[int, Sequence[float]] = {}
    for version in reversed(asked):
        try:
            answer = await line.call("predict", task_id=trial.task_id, inputs=[example], version=version)
        except Refusal as refusal:
            return Answers(asked, found, refusal)
        found[version] = answer["probabilities"][0]
    return Answers(asked, found)


def verdict(answers: Answers, trial: Trial) -> str:
    """The newest answer in a sentence, for eyes and screen readers."""
    if answers.latest is None:
        return ""
    version, shares = answers.latest
    best = max(range(len(shares)), key=shares.__getitem__)
    return (
        f'<p class="verdict" role="status" id="verdict"><span class="said">{said(trial.label(best), 40)}</span>'
        f" says version {version}, {percent(shares[best])} sure</p>"
    )


def bars(answers: Answers, trial: Trial) -> go.Figure | None:
    """What the newest version gives each class; of many classes, the ten likeliest."""
    if answers.latest is None:
        return None
    version, shares = answers.latest
    places = sorted(range(len(shares)), key=shares.__getitem__, reverse=True)[:10]
    places = sorted(places) if len(shares) <= 10 else places
    best = max(places, key=shares.__getitem__)
    chart = figure(x="probability", y=f"class, by version {version}", height=60 + 24 * len(places), whole_x=False)
    chart.add_trace(
        go.Bar(
            x=[shares[place] for place in places],
            y=[plain(trial.label(place), 16) for place in places],
            orientation="h",
            marker={"color": ["var(--line-0)" if place == best else "var(--field)" for place in places]},
            text=[percent(shares[place]) for place in places],
            textposition="auto",
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    chart.update_xaxes(range=[0, 1], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1], ticklabeloverflow="allow")
    chart.update_layout(margin={"r": 28})  # room for the last of them
    chart.update_yaxes(type="category", autorange="reversed", showgrid=False, nticks=len(places))
    return chart


def over_versions(answers: Answers, trial: Trial) -> go.Figure | None:
    """How sure each version is of the classes that any version thinks likeliest, up to four."""
    if len(answers.probabilities) < 2:
        return None
    versions = sorted(answers.probabilities)
    winners: list[int] = []
    for version in reversed(versions):
        shares = answers.probabilities[version]
        best = max(range(len(shares)), key=shares.__getitem__)
        winners += [] if best in winners or len(winners) == 4 else [best]
    chart = figure(x="version of the global model", y="probability")
    for place, winner in enumerate(winners):
        line(chart, trial.label(winner), versions, [answers.probabilities[each][winner] for each in versions], place)
    chart.update_layout(showlegend=True)
    chart.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return chart
