"""How far simulated tasks are that are not over: for views, in memory only."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """How far a simulated task is: the round in progress and its clients, or how many tasks go before it."""

    round: int | None = None
    clients_trained: int | None = None
    clients_selected: int | None = None
    waits_for: int = 0


class Board:
    """Written by whoever simulates, read by views."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._progress: dict[str, Progress] = {}
        self._waiting: dict[str, int] = {}

    def of(self, task_id: str) -> Progress | None:
        """How far a task is; None when nobody works on it and it waits for nothing."""
        ahead = self._waiting.get(task_id)
        return self._progress.get(task_id) if ahead is None else Progress(waits_for=ahead)

    def follow(self, task_ids: set[str]) -> None:
        """These are not over."""
        self._known = task_ids

    def follows(self, task_id: str) -> bool:
        """Whether it is one of them."""
        return task_id in self._known

    def progress(self, task_id: str, progress: Progress) -> None:
        """A round goes on."""
        self._progress[task_id] = progress

    def next_round(self, task_id: str) -> None:
        """A round is over, and the next one goes on."""
        if (last := self._progress.get(task_id)) is not None and last.round is not None:
            self._progress[task_id] = replace(last, round=last.round + 1, clients_trained=0)

    def queue(self, task_ids: list[str], *, busy: int) -> None:
        """These wait, in this order, behind as many as run."""
        self._waiting = {task_id: busy + place for place, task_id in enumerate(task_ids)}

    def forget(self, task_id: str) -> None:
        """Nobody works on it any more."""
        self._progress.pop(task_id, None)
