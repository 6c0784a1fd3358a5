from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from potluck.live_table import LiveTable, cells, human_bytes


def round_of(number: int, state: str = "closed", **values: Any) -> dict[str, Any]:
    known = {"round": number, "state": state, "selected": 4, "submitted": 4, "bytes_up": 77_000, "bytes_down": 77_000}
    return known | {"accuracy": None, "loss": None, "seconds": None} | values


def task_of(*rounds: dict[str, Any]) -> dict[str, Any]:
    return {"name": "digits", "state": "running", "rounds": list(rounds)}


def test_a_round_shows_what_is_known_and_a_dash_for_the_rest() -> None:
    assert cells(round_of(2, accuracy=0.91234, loss=0.3, seconds=1.5)) == (
        *("2", "0.912", "0.3000", "1.50", "77.0 kB", "77.0 kB", "4/4", "closed"),
    )
    assert cells(round_of(3, "collecting", submitted=1, bytes_up=0, bytes_down=0)) == (
        *("3", "–", "–", "–", "0 B", "0 B", "1/4", "collecting"),
    )


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (19_400, "19.4 kB"), (1_500_000, "1.5 MB"), (2e12, "2000.0 GB")]
)
def test_sizes_read_well(count: float, text: str) -> None:
    assert human_bytes(count) == text


def test_a_pipe_gets_one_plain_line_a_round_once_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveTable(Console(file=io.StringIO(), force_terminal=False)) as table:
        table.show(task_of(round_of(1, "collecting")))
        table.show(task_of(round_of(1, accuracy=0.5), round_of(2, "collecting")))
        table.show(task_of(round_of(1, accuracy=0.5), round_of(2, "collecting")))
        table.show(task_of(round_of(1, accuracy=0.5), round_of(2, accuracy=0.75)))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["round", "1", "2"]
    assert len({len(line) for line in lines}) == 1
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)


def test_a_terminal_of_80_columns_shows_the_whole_table() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    with LiveTable(console) as table:
        table.show(task_of(round_of(10, accuracy=0.95, loss=0.1, seconds=12.25), round_of(11, "aggregating")))
    shown = screen.getvalue()
    for text in ("0.950", "12.25", "77.0 kB", "aggregating"):
        assert text in shown
    assert "…" not in shown
