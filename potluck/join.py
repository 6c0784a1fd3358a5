"""`potluck join`: a node with a progress bar, or plain lines where no terminal is."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from edge_client.events import Event
from edge_client.node import Node
from potluck.client import quiet

IMPATIENT = 2
"""So many signals let the node say goodbye; the next one ends the process there and then."""


class Watch:
    """Prints what a node does, as it happens."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._last = ""
        self._bar: TaskID | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.3f}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def shown(self) -> AbstractContextManager[object]:
        """While this lasts, the bar is on the terminal."""
        return self._progress

    def refresh(self) -> None:
        """Draw the bar now, as a terminal does ten times a second."""
        self._progress.refresh()

    def __call__(self, event: Event) -> None:
        if event.kind == "progress":
            self._draw(event.data)
            return
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._progress.refresh()
            self._bar = None
        if event.text != self._last:  # waiting again for the same thing is no news
            self._last = event.text
            if self._console.is_terminal:
                self._progress.console.print(event.text, markup=False)
            else:
                print(event.text, flush=True)

    def _draw(self, data: dict[str, Any]) -> None:
        shown = {"completed": data["step"], "total": data["total_steps"]}
        shown |= {"loss": data["loss"], "accuracy": data["accuracy"]}
        if self._bar is None:
            self._bar = self._progress.add_task(f"round {data['round']}", **shown)
        else:
            self._progress.update(self._bar, **shown)


def run(node: Node, watch: Watch) -> int:
    """Run the node to its end; the exit code. Ctrl-C and SIGTERM leave at once and without noise."""

    received: list[int] = []

    async def live() -> None:
        running = asyncio.ensure_future(node.run())

        def leave(number: int) -> None:
            received.append(number)
            if len(received) == 1:
                running.cancel()
            elif len(received) > IMPATIENT:  # a thread that reads or scores cannot be called back
                os._exit(128 + number)

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, leave, number)
        await running

    quiet()
    try:
        with watch.shown():
            asyncio.run(live())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("left", file=sys.stderr)
        return 128 + (received[0] if received else signal.SIGINT)
    return 0
