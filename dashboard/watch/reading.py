"""What the tab shows, read by a visitor for itself: each reading is one state of the federation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dashboard.desk import Line

Record = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """What a visitor wants to see.

    Attributes:
        task_id: the task; None or unknown: the latest that runs, else the latest.
        round: whose updates are listed; None: the latest that is over.
        version: whose lineage is shown; None: the current one.
        words: tasks whose name, model, data or state has these in it.
        kind: one of `KINDS`.
    """

    task_id: str | None = None
    round: int | None = None
    version: int | None = None
    words: str = ""
    kind: str = "All"


_READINGS = 2
"""Of one picture, at most."""

KINDS = ("All", "Going on", "Over", "Simulated")


@dataclass(frozen=True)
class Picture:
    """One state, as far as a visitor may see it.

    Attributes:
        tools: names of what the visitor may call.
        tasks: in a few words, as `list_tasks` says them, after the filter.
        unfiltered: how many there are without it.
        task: the chosen one in full, or None.
        current: the round in progress with its cohort.
        looked_into: the round whose updates are listed.
        version: the version whose lineage is shown.
    """

    tools: frozenset[str]
    tasks: Sequence[Record] = ()
    unfiltered: int = 0
    nodes: Sequence[Record] = ()
    task: Record | None = None
    metrics: Sequence[Record] = ()
    current: Record | None = None
    looked_into: Record | None = None
    version: Record | None = None
    names: dict[str, str] = field(default_factory=dict)

    @property
    def sees(self) -> bool:
        """Whether the visitor may look at all."""
        return "list_tasks" in self.tools


async def picture(line: Line, choice: Choice, tools: frozenset[str]) -> Picture:
    """Reads what this choice takes, again where a round ended in between: its parts are of one moment.

    Raises:
        Refusal: the server's.
    """
    for _ in range(_READINGS):
        seen = await _read(line, choice, tools)
        if seen.current is None or in_progress([seen.current]):
            return seen
    return replace(seen, current=None)  # rounds end faster than they are read: none can be shown at its work


async def _read(line: Line, choice: Choice, tools: frozenset[str]) -> Picture:
    if "list_tasks" not in tools:
        return Picture(tools)
    every: list[Record] = await line.read("potluck://tasks")
    tasks = chosen_tasks(every, choice)
    nodes: list[Record] = await line.read("potluck://nodes")
    names = {node["node_id"]: node["name"] for node in nodes}
    if (task_id := chosen_task(tasks, choice.task_id)) is None:
        return Picture(tools, tasks, len(every), nodes, names=names)
    uri = f"potluck://tasks/{task_id}"
    task: Record = await line.read(uri)
    metrics: list[Record] = await line.read(f"{uri}/metrics")
    rounds: list[Record] = task["rounds"]
    current = await line.read(f"{uri}/rounds/{task['round']}") if in_progress(rounds) else None
    number = looked_into(rounds, choice.round)
    if number is None:
        into = None
    else:
        into = current if current and current["round"] == number else await line.read(f"{uri}/rounds/{number}")
    known = choice.version if choice.version in versions(task) else task["version"]
    version = await line.read(f"{uri}/model/{known}")
    return Picture(tools, tasks, len(every), nodes, task, metrics, current, into, version, names)


def chosen_tasks(tasks: Sequence[Record], choice: Choice) -> list[Record]:
    """Those that the filter lets through."""
    words = choice.words.lower().split()

    def passes(task: Record) -> bool:
        over = task["state"] in ("finished", "cancelled")
        kind = {"Going on": not over, "Over": over, "Simulated": bool(task.get("simulated"))}.get(choice.kind, True)
        text = " ".join(str(task[name]) for name in ("name", "task_id", "model", "data", "state")).lower()
        return kind and all(word in text for word in words)

    return [task for task in tasks if passes(task)]


def chosen_task(tasks: Sequence[Record], task_id: str | None) -> str | None:
    """The id of the task to show."""
    if any(task["task_id"] == task_id for task in tasks):
        return task_id
    running = [task for task in tasks if task["state"] == "running"]
    return next((str(task["task_id"]) for task in [*running, *tasks]), None)


def in_progress(rounds: Sequence[Record]) -> bool:
    """Whether the latest round still goes on."""
    return bool(rounds) and rounds[-1]["state"] in ("open", "collecting", "aggregating")


def looked_into(rounds: Sequence[Record], wanted: int | None) -> int | None:
    """The round to look into: the one that is wanted, else the latest that is over."""
    numbers = {int(each["round"]) for each in rounds}
    over = [int(each["round"]) for each in rounds if each["state"] in ("closed", "void")]
    return wanted if wanted in numbers else over[-1] if over else None


def versions(task: Record) -> list[int]:
    """The versions that the latest rounds made, newest first, and what they began from."""
    known = {int(task["version"])}
    for each in task["rounds"]:
        known.add(int(each["base_version"]))
        if each["version"] is not None:
            known.add(int(each["version"]))
    return sorted(known, reverse=True)
