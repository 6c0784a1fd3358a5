"""What an operator can do to a task. Each lever first says what it would do, and moves only after a yes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dashboard.desk import Line
from dashboard.watch.reading import Picture, Record
from dashboard.words import many, said

Action = Literal["start", "pause", "resume", "close", "cancel", "roll_back"]
ACTIONS: tuple[Action, ...] = get_args(Action)

LABELS: Mapping[Action, str] = {
    "start": "Start",
    "pause": "Pause…",
    "resume": "Resume…",
    "close": "Close the round now…",
    "cancel": "Cancel the task…",
    "roll_back": "Roll back to this version…",
}
_OVER = ("finished", "cancelled")
_DONE: Mapping[Action, str] = {
    "start": "The task has been started.",
    "pause": "The task is paused: the round in progress ends as usual.",
    "resume": "The task goes on.",
    "close": "Round {round} has been closed.",
    "cancel": "The task has been cancelled.",
    "roll_back": "v{version} is the current model again.",
}
_STATES: Mapping[Action, frozenset[str]] = {
    "start": frozenset({"created"}),
    "pause": frozenset({"running"}),
    "resume": frozenset({"paused"}),
    "close": frozenset({"running", "paused"}),
    "cancel": frozenset({"created", "running", "paused"}),
    "roll_back": frozenset({"running", "paused", "finished", "cancelled"}),
}


@dataclass(frozen=True)
class Pending:
    """An action that waits for a yes."""

    action: Action
    task_id: str
    round: int = 0
    version: int = 0


def offered(seen: Picture) -> frozenset[Action]:
    """The levers that make sense now, for who may move them."""
    task = seen.task
    if task is None or "control_task" not in seen.tools:
        return frozenset()
    found: set[Action] = {action for action in ACTIONS if task["state"] in _STATES[action]}
    collecting = seen.current is not None and seen.current["state"] == "collecting"
    if not collecting or task.get("simulation") or "aggregate_round" not in seen.tools:
        found.discard("close")
    if task.get("simulation"):
        found.discard("start")  # it begins when it is its turn
    shown = (seen.version or {}).get("version")
    if shown is None or shown == task["version"]:
        found.discard("roll_back")
    return frozenset(found)


def question(pending: Pending, task: Record) -> str:
    """What the action would do, as markup."""
    name = f"<b>{said(task['name'], 80)}</b>"
    if pending.action == "start":
        return f"Start {name}? Its first round opens, and nodes that are at hand begin to train."
    if pending.action == "pause":
        return f"Pause {name}? The round in progress ends as usual; the next one begins when somebody resumes it."
    if pending.action == "resume":
        return f"Resume {name}? It goes on from v{int(task['version'])}."
    if pending.action == "cancel":
        return (
            f"Cancel {name}? The round in progress becomes void and no more are trained. Its models stay. "
            "A cancelled task cannot be resumed."
        )
    if pending.action == "roll_back":
        use = "The next round starts from it."
        if task["state"] in _OVER:
            use = (
                f"The task is {said(task['state'], 20)}, so no round follows: it becomes the model that predict asks, "
                "and that is exported and downloaded, where no other version is named."
            )
        return (
            f"Make v{pending.version} the current model of {name}, in place of v{int(task['version'])}? "
            f"{use} Nothing is deleted."
        )
    current = next((each for each in task["rounds"] if each["round"] == pending.round), {"submitted": 0, "quorum": 0})
    updates = many(int(current["submitted"]), "update that has arrived", "updates that have arrived")
    return (
        f"Close round {pending.round} of {name} now, over the {updates} (its quorum is {current['quorum']})? "
        "Whoever still trains has trained for nothing."
    )


def done(pending: Pending) -> str:
    """What has happened when it has been done."""
    return _DONE[pending.action].format(version=pending.version, round=pending.round)


async def move(line: Line, pending: Pending) -> None:
    """Does it.

    Raises:
        Refusal: the server's.
    """
    if pending.action == "close":
        await line.call("aggregate_round", task_id=pending.task_id, round=pending.round)
        return
    version = pending.version if pending.action == "roll_back" else None
    await line.call("control_task", task_id=pending.task_id, action=pending.action, version=version)


def exported(export: Mapping[str, Any]) -> str:
    """An export as markup: its bytes to take away, and the files that belong beside them, to be read."""
    from dashboard.watch.lineage import download

    files = "".join(
        f"<details><summary>{said(name, 80)}</summary><pre>{_verbatim(text)}</pre></details>"
        for name, text in export["files"].items()
    )
    link = download(export["url"], str(export["weights"]), f"Download {export['weights']}")
    return f'<div class="card">{link}{files}</div>'


def _verbatim(text: str) -> str:
    from html import escape

    return escape("".join(letter for letter in text if letter.isprintable() or letter in "\n\t"))
