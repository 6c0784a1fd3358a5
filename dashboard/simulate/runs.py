"""Simulations that have run or are running, as lines to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.desk import Line

MOST = 6
"""Runs in one chart: as many as there are colours."""
_POINTS = 40
"""Read of the rounds before the latest 50."""


@dataclass(frozen=True)
class Run:
    """One simulation.

    Attributes:
        points: (round, accuracy, loss) of each version measured, in order; either may be missing.
    """

    task_id: str
    name: str
    state: str
    reason: str
    rule: str
    cut: str
    attack: str
    rounds: int
    progress: str
    points: tuple[tuple[int, float | None, float | None], ...]

    @property
    def going(self) -> bool:
        """Whether it may still change."""
        return self.state in ("created", "running", "paused")

    @property
    def final(self) -> tuple[float | None, float | None]:
        """Accuracy and loss of the last version measured."""
        return self.points[-1][1:] if self.points else (None, None)

    @property
    def best(self) -> float | None:
        """The highest accuracy."""
        return max((accuracy for _, accuracy, _ in self.points if accuracy is not None), default=None)

    def reached(self, target: float) -> int | None:
        """The first round whose version was as accurate as that."""
        return next((at for at, accuracy, _ in self.points if accuracy is not None and accuracy >= target), None)


async def run(line: Line, task_id: str) -> Run:
    """One simulation as it stands.

    Raises:
        Refusal: there is no such task.
    """
    view = await line.call("get_task", task_id=task_id)
    latest = view["rounds"]
    first = latest[0]["round"] if latest else 1
    older = [await line.read(f"potluck://tasks/{task_id}/rounds/{at}") for at in spread(1, first - 1, _POINTS)]
    simulation = view.get("simulation") or {}
    spec, attack = view["spec"], simulation.get("attack")
    start = view.get("initial_scores") or {}
    points = [(0, start.get("accuracy"), start.get("loss"))]
    points += [(each["round"], each.get("accuracy"), each.get("loss")) for each in (*older, *latest)]
    return Run(
        task_id=task_id,
        name=view["name"],
        state=view["state"],
        reason=view.get("reason") or "",
        rule=spec["aggregation"]["rule"],
        cut=_cut(spec["data"]["partition"]),
        attack=f"{attack}, {simulation['attackers']:.0%}" if attack else "none",
        rounds=view["num_rounds"],
        progress=_progress(view["round"], simulation.get("progress")),
        points=tuple(point for point in points if point[1] is not None or point[2] is not None),
    )


async def simulations(line: Line) -> list[dict[str, Any]]:
    """Every simulated task in a few words, newest first."""
    return [task for task in (await line.call("list_tasks"))["tasks"] if task.get("simulated")]


def spread(first: int, last: int, most: int) -> Sequence[int]:
    """At most so many whole numbers from first to last, evenly; both ends are among them."""
    count = last - first + 1
    if count <= most:
        return range(first, last + 1)
    return sorted({first + round(place * (count - 1) / (most - 1)) for place in range(most)})


def _cut(partition: dict[str, Any]) -> str:
    kind, parts = partition["kind"], partition["parts"]
    return f"dirichlet α {partition['alpha']:g}, {parts}" if kind == "dirichlet" else f"{kind}, {parts}"


def _progress(at: int, progress: dict[str, Any] | None) -> str:
    if not progress:
        return ""
    if progress.get("waits_for"):
        return f"waits for {progress['waits_for']} before it"
    done, all = progress.get("clients_trained"), progress.get("clients_selected")
    return f"round {progress.get('round') or at}: {done} of {all} clients" if all else ""
