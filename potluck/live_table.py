"""A task's rounds as a table: live on a terminal, a line a round elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

HEADINGS = ("round", "accuracy", "loss", "seconds", "up", "down", "nodes", "state")
WIDTHS = (5, 8, 8, 7, 9, 9, 7, 11)


def human_bytes(count: float) -> str:
    """A size as people read it: 19.4 kB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("GB is the last unit")


def cells(round_: Mapping[str, Any]) -> tuple[str, ...]:
    """One round as text, in the order of `HEADINGS`; what is not known yet is a dash."""

    def number(name: str, form: str) -> str:
        value = round_.get(name)
        return "–" if value is None else format(value, form)

    def score(name: str, form: str) -> str:
        """The server's; else, marked, the mean of the nodes' own."""
        if round_.get(name) is None and round_.get(f"node_{name}") is not None:
            return f"{number(f'node_{name}', form)}*"
        return number(name, form)

    return (
        str(round_["round"]),
        score("accuracy", ".3f"),
        score("loss", ".4f"),
        number("seconds", ".2f"),
        human_bytes(round_.get("bytes_up") or 0),
        human_bytes(round_.get("bytes_down") or 0),
        f"{round_['submitted']}/{round_['selected']}",
        str(round_["state"]),
    )


def caption(task: Mapping[str, Any]) -> str:
    """A task's name and state; of a simulated one also with what, and how far its round is."""
    said = f"{task['name']}: {task['state']}"
    how = task.get("simulation")
    if not how:
        return said
    said += f"; simulated ({how['engine']}"
    said += f", {how['attackers']:g} of the clients attack: {how['attack']})" if how["attack"] else ")"
    progress = how["progress"] or {}
    if progress.get("waits_for"):
        said += f", waits for {progress['waits_for']} other simulations"
    elif progress:
        said += f", round {progress['round']}: {progress['clients_trained']} of {progress['clients_selected']} clients"
    return said


class LiveTable:
    """Shows a task each time it is given one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last: int | None = None  # the last round printed

    def show(self, task: Mapping[str, Any]) -> None:
        """`task` is what get_task answers."""
        if self._live is not None:
            self._live.update(_table(task), refresh=True)
            return
        if self._last is None:
            if task.get("simulation"):
                print(caption(task), flush=True)
            print(_line(HEADINGS), flush=True)
            self._last = 0
        for each in task["rounds"]:
            if each["round"] > self._last and each["state"] in ("closed", "void"):
                print(_line(cells(each)), flush=True)
                self._last = each["round"]

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def _line(texts: Sequence[str]) -> str:
    return " ".join(text.rjust(width) for text, width in zip(texts, WIDTHS, strict=True))


def _table(task: Mapping[str, Any]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        caption=caption(task),
        caption_justify="left",
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for each in task["rounds"]:
        table.add_row(*cells(each))
    return table
