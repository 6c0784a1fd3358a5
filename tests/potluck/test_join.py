from __future__ import annotations

import io

import pytest
from rich.console import Console

from edge_client.events import Event
from potluck.join import Watch

STEP = {"step": 3, "total_steps": 10, "loss": 0.5, "accuracy": 0.75, "round": 1}


def test_a_pipe_gets_one_plain_line_an_event_and_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(Console(file=io.StringIO(), force_terminal=False))
    with watch.shown():
        watch(Event("joined", "joined task-1"))
        watch(Event("progress", "round 1: step 3/10", STEP))
        watch(Event("waiting", "the round waits for more nodes"))
        watch(Event("waiting", "the round waits for more nodes"))
        watch(Event("submitted", "round 1: [update] accepted"))
    said = capsys.readouterr().out
    assert said == "joined task-1\nthe round waits for more nodes\nround 1: [update] accepted\n"


def test_a_terminal_gets_a_bar_within_80_columns() -> None:
    screen = io.StringIO()
    watch = Watch(Console(file=screen, force_terminal=True, width=80, color_system=None))
    with watch.shown():
        watch(Event("progress", "round 1: step 3/10", STEP))
        watch.refresh()
        watch(Event("submitted", "round 1: [update] accepted"))
    shown = screen.getvalue()
    assert "3/10" in shown
    assert "loss 0.5000  accuracy 0.750" in shown
    assert "round 1: [update] accepted" in shown
