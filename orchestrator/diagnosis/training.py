"""A task's training, read from what anyone who may look is given: get_task, its metrics and its rounds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from federation.convergence import Point, best
from orchestrator.diagnosis.names import quoted

View = Mapping[str, Any]

_ACCURACIES = {"server": "accuracy", "nodes": "eval_accuracy"}
_LOSSES = {"server": ("loss",), "nodes": ("eval_loss", "train_loss")}


@dataclass(frozen=True)
class Training:
    """The three views of a task.

    Attributes:
        view: as `get_task` answers.
        metrics: as `potluck://tasks/{task_id}/metrics` gives: the latest 2,000.
        details: as `potluck://tasks/{task_id}/rounds/{round}` gives, by round; of as many rounds as were looked up.
    """

    view: View
    metrics: Sequence[View]
    details: Mapping[int, View]

    @classmethod
    def of(cls, view: View, metrics: Sequence[View], rounds: Sequence[View]) -> Training:
        """From the views as they come."""
        return cls(view, metrics, {int(each["round"]): each for each in rounds})

    @property
    def spec(self) -> View:
        """The task's spec, every default filled in."""
        spec: View = self.view["spec"]
        return spec

    @property
    def simulated(self) -> bool:
        """Whether clients of a simulation train, and no nodes."""
        return self.view.get("simulation") is not None

    @property
    def rounds(self) -> Sequence[View]:
        """The rounds that `get_task` lists, oldest first: not all of a long task, so `totals` counts."""
        rounds: Sequence[View] = self.view["rounds"]
        return rounds

    @property
    def closed(self) -> list[View]:
        """Those listed that made a version."""
        return [each for each in self.rounds if each["state"] == "closed"]

    @property
    def void(self) -> list[View]:
        """Those listed that made none."""
        return [each for each in self.rounds if each["state"] == "void"]

    @cached_property
    def totals(self) -> View:
        """Sums over all rounds; reckoned from those listed, where an older server does not give them."""
        if self.view.get("totals"):
            known: View = self.view["totals"]
            return known
        over = [*self.closed, *self.void]
        sums = {name: sum(each[name] or 0 for each in over) for name in ("bytes_up", "bytes_down", "seconds")}
        made = [(each["version"], each["base_version"]) for each in self.closed if each.get("version") is not None]
        leaps = [[version, base] for version, base in made if version > base + 1]
        return sums | {"rounds": len(self.rounds), "closed": len(self.closed), "void": len(self.void), "leaps": leaps}

    @property
    def cut(self) -> bool:
        """Whether the task has had more rounds than are listed."""
        return int(self.totals["rounds"]) > len(self.rounds)

    @property
    def over(self) -> list[View]:
        """The rounds that were looked up and are over, oldest first."""
        return [self.details[n] for n in sorted(self.details) if self.details[n]["state"] in ("closed", "void")]

    @property
    def classes(self) -> int:
        """How many classes there are to tell apart, as far as that is known; else 0."""
        by_class = {row["name"] for row in self.metrics if str(row["name"]).startswith("accuracy.class_")}
        return int(self.view.get("num_classes") or self.spec["data"].get("num_classes") or len(by_class))

    @property
    def members(self) -> Sequence[View]:
        """The task's nodes; none of a simulated task, and none where they are not this caller's business."""
        return self.view.get("nodes") or ()

    @cached_property
    def names(self) -> dict[str, str]:
        """How each node is called in a text, by its id: by its name if it has one, never two by the same."""
        chosen = {str(each["node_id"]): str(each.get("name") or each["node_id"]) for each in self.members}
        taken = [quoted(name) for name in chosen.values()]
        return {
            node: quoted(name) if taken.count(quoted(name)) == 1 else f"{quoted(name)} ({quoted(node)})"
            for node, name in chosen.items()
        }

    def name(self, node_id: str) -> str:
        """How a node is called in a text."""
        return self.names.get(node_id, quoted(node_id))

    @cached_property
    def scores(self) -> dict[int, dict[tuple[str, str], float]]:
        """Scores by version, then by source (`server`, `nodes`) and name."""
        found: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
        for name, value in (self.view.get("initial_scores") or {}).items():
            found[0]["nodes" if name.startswith(("eval_", "train_")) else "server", name] = float(value)
        for row in self.rounds:
            for source, name, key in _IN_ROUNDS:
                if row.get("version") is not None and row.get(key) is not None:
                    found[int(row["version"])][source, name] = float(row[key])
        for row in self.metrics:
            if row["source"] in ("server", "nodes"):
                found[int(row["version"])][str(row["source"]), str(row["name"])] = float(row["value"])
        return found

    def by_round(self, name: str) -> dict[int, float]:
        """The nodes' mean of a metric, by the round in which they measured it."""
        rows = [row for row in self.metrics if row["source"] == "nodes" and row["name"] == name]
        return {int(row["round"]): float(row["value"]) for row in rows}

    @cached_property
    def line(self) -> list[int]:
        """The versions that led to the current one, oldest first: each from the one before, but for the leaps."""
        bases = {int(version): int(base) for version, base in self.totals["leaps"]}
        found = [int(self.view["version"])]
        while found[-1] > 0:
            found.append(bases.get(found[-1], found[-1] - 1))
        return found[::-1]

    @cached_property
    def source(self) -> str:
        """Whose scores the training is judged by: the server's, where it has any, else the nodes' mean."""
        of_server = any(("server", "examples") in self.scores.get(version, {}) for version in self.line)
        of_server = of_server or any(("server", "loss") in self.scores.get(version, {}) for version in self.line)
        return "server" if of_server else "nodes"

    @cached_property
    def points(self) -> list[Point]:
        """The series that convergence is judged by; a scored version without a loss has one that is not finite.

        Its rounds are not known, and stand as the versions. Of a long task the scores begin late, but for version 0 and
        the best.
        """
        found = []
        for version in self.line:
            mine, loss = self.scores.get(version, {}), self.loss_of(version)
            if loss is None and self.source == "server" and ("server", "examples") in mine:
                loss = math.inf
            found.append(Point(version, version, mine.get((self.source, _ACCURACIES[self.source])), loss))
        top = self.view.get("best") or {}
        known = [point.version for point in found if point.accuracy is not None or point.loss is not None]
        if top and top["version"] in self.line and top["version"] not in known:
            found[self.line.index(top["version"])] = Point(top["version"], top["version"], top["accuracy"], top["loss"])
        return found

    @property
    def best(self) -> Point | None:
        """The best version that anyone has measured: as the server says over all, else of the line."""
        top = self.view.get("best")
        return Point(top["version"], top["version"], top["accuracy"], top["loss"]) if top else best(self.points)

    def loss_of(self, version: int) -> float | None:
        """A version's loss, by the source that counts."""
        mine = self.scores.get(version, {})
        return mine.get((self.source, self.loss_name))

    @cached_property
    def accuracy_name(self) -> str:
        """What the accuracy that counts is called among the metrics."""
        return _ACCURACIES[self.source]

    @cached_property
    def loss_name(self) -> str:
        """What the loss that counts is called among the metrics."""
        names = _LOSSES[self.source]
        has = {name for scores in self.scores.values() for source, name in scores if source == self.source}
        return next((name for name in names if name in has), names[0])


_IN_ROUNDS = (
    ("server", "accuracy", "accuracy"),
    ("server", "loss", "loss"),
    ("nodes", "eval_accuracy", "node_accuracy"),
    ("nodes", "eval_loss", "node_loss"),
)
