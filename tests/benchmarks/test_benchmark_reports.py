"""Figures, verdicts and tables say what was measured, no more and no less."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.bars import BARS
from benchmarks.report import NotMeasured, Report, command, number, percentile, spread, table, verdicts
from benchmarks.wire import events

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def test_a_smaller_value_is_better_unless_the_bar_says_otherwise() -> None:
    assert [BARS["round"].verdict(value) for value in (0.1, 0.2, 0.3, 0.5, 0.6)] == [
        "goal",
        "goal",
        "bar",
        "bar",
        "not met",
    ]
    assert [BARS["fold"].verdict(value) for value in (8, 7, 6, 5, 4)] == ["goal", "goal", "bar", "bar", "not met"]


def test_what_was_not_measured_meets_no_bar() -> None:
    for bar in BARS.values():
        assert bar.verdict(math.nan) == "not met"


def test_no_goal_is_easier_than_its_bar() -> None:
    for bar in BARS.values():
        assert bar.meets(bar.goal, bar.bar)


def test_a_figure_keeps_every_value_and_answers_the_median() -> None:
    report = Report("x")
    assert report.add("several", [3, 1, 2], "s") == 2
    assert report.add("one", 5, "s") == 5
    assert math.isnan(report.add("none", [], "s"))
    assert report.figures[0].values == (3, 1, 2)


def test_a_report_survives_its_way_through_json() -> None:
    report = Report("x")
    report.add("a", [1.5, 2.5], "s")
    report.judge("round", 0.3)
    report.remark("noisy")
    assert Report.from_json(json.loads(json.dumps(report.as_json()))) == report


def test_a_value_cannot_be_held_against_a_bar_that_is_not_there() -> None:
    with pytest.raises(KeyError, match="no bar is called"):
        Report("x").judge("speed", 1.0)


def test_the_text_shows_spread_verdict_and_remarks() -> None:
    report = Report("rounds")
    report.add("a round", [0.1, 0.3, 0.2], "s")
    report.judge("round", 0.3)
    report.remark("noisy")
    lines = report.text().splitlines()
    assert lines[3].split() == ["a", "round", "0.200", "0.100", "0.300", "3", "s"]
    assert lines[-2].endswith("bar")
    assert lines[-1].strip() == "noisy"


def test_a_comparison_stands_in_the_text_instead_of_the_figures_and_survives_json() -> None:
    report = Report("x")
    report.add("one, a round", [0.5], "s")
    report.compare(("contender", "s"), [("one", "0.500"), ("other", "–")])
    again = Report.from_json(json.loads(json.dumps(report.as_json())))
    assert again == report
    assert [line.split() for line in again.text().splitlines()[3:]] == [["one", "0.500"], ["other", "–"]]


def test_a_spread_is_told_where_there_is_one() -> None:
    assert spread([1, 2, 4]) == "2.00 (1.00–4.00)"
    assert spread([2]) == "2.00"


def test_verdicts_name_bar_and_goal() -> None:
    assert verdicts({"fold": 4.0}).splitlines()[-1].split("  ")[-1] == "not met"


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_three_digits_are_shown(value: float, shown: str) -> None:
    assert number(value) == shown


def test_what_is_not_a_number_is_a_dash() -> None:
    assert number(math.nan) == number(math.inf) == "–"


def test_a_percentile_is_one_of_the_values() -> None:
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.99) == 7
    assert math.isnan(percentile([], 0.5))


def test_numbers_stand_to_the_right() -> None:
    lines = table(("what", "n"), [("a", "5"), ("b", "500")]).splitlines()
    assert [line.strip() for line in lines[2:]] == ["a       5", "b     500"]


def test_a_benchmark_that_cannot_run_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: argparse.Namespace) -> Report:
        raise NotMeasured("there is no Flower here")

    monkeypatch.setattr("sys.argv", ["benchmark"])
    with pytest.raises(SystemExit, match="not measured: there is no Flower here"):
        command(run, "A benchmark.")


def test_quick_changes_defaults_and_leaves_what_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = {}

    def run(arguments: argparse.Namespace) -> Report:
        seen.update(vars(arguments))
        return Report("x")

    monkeypatch.setattr("sys.argv", ["benchmark", "--quick", "--size", "3", "--json", str(tmp_path / "x.json")])
    command(run, "A benchmark.", size=(100, 10, "size"), runs=(5, 1, "runs"))
    assert (seen["size"], seen["runs"]) == (3, 1)
    assert json.loads((tmp_path / "x.json").read_text())["name"] == "x"
    assert capsys.readouterr().out.startswith("== x")


@pytest.mark.anyio
async def test_events_are_put_together_from_any_pieces() -> None:
    stream = b'event: endpoint\r\ndata: /m?id=1\r\n\r\n: ping\n\ndata: {"id": 1}\n\nevent: x\ndata: {"a":\ndata: 2}\n\n'

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(stream), size):
            yield stream[start : start + size]

    for size in (1, 2, 7, len(stream)):
        found = [event async for event in events(pieces(size))]
        assert found == [{"endpoint": "/m?id=1"}, {"id": 1}, {"a": 2}]


@pytest.mark.parametrize("bar", BARS.values(), ids=BARS)
def test_every_bar_stands_in_the_docs(bar: object) -> None:
    assert getattr(bar, "what", "") in DOCS.read_text()
