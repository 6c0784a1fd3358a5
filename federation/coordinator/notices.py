"""Word of change: wakes the long polls of a task, and tells whoever announces changes to clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

Topic = Literal["task", "progress", "tasks", "nodes", "stop"]
Listener = Callable[[Topic, str], None]


class Notices:
    """In-process, without memory: on word of a change, read the state again."""

    def __init__(self) -> None:
        self._next: dict[str, asyncio.Event] = {}
        self._listeners: list[Listener] = []
        self.stopping = False

    def listen(self, listener: Listener) -> None:
        """Calls `listener(topic, id)` at every change; it must not block."""
        self._listeners.append(listener)

    def next_work(self, task_id: str) -> asyncio.Event:
        """Set when there may be work. Take it before reading the state, or a change between goes unseen."""
        return self._next.setdefault(task_id, asyncio.Event())

    def task_changed(self, task_id: str) -> None:
        """Something about a task changed: an update came, a score."""
        self._tell("task", task_id)

    def progressed(self, task_id: str) -> None:
        """A node reported progress: news for those who watch, and for nobody else."""
        self._tell("progress", task_id)

    def work_changed(self, task_id: str) -> None:
        """A round began or ended, or the task changed its state: whoever waits for work must look again."""
        waiting = self._next.pop(task_id, None)
        if waiting is not None:
            waiting.set()
        self._tell("task", task_id)

    def tasks_changed(self) -> None:
        """A task was added, or changed its state."""
        self._tell("tasks", "")

    def nodes_changed(self) -> None:
        """A node enrolled, joined or left."""
        self._tell("nodes", "")

    def stop(self) -> None:
        """Ends every wait, now and from now on, for a server that stops."""
        self.stopping = True
        for task_id in list(self._next):
            self._next.pop(task_id).set()
        self._tell("stop", "")

    def _tell(self, topic: Topic, subject: str) -> None:
        for listener in self._listeners:
            listener(topic, subject)
