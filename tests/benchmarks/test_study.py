"""Learning studies: what they take is said first, rounds are kept, and nothing stale is taken for a result."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import study_cells, study_rounds
from benchmarks.__main__ import STUDIES
from benchmarks.report import NotMeasured
from benchmarks.study import Study, markdown, need_data, report, run
from benchmarks.study_cells import Cell, Outcome
from benchmarks.study_estimate import Pace, kind, makespan, seconds
from benchmarks.study_rounds import advance, kept
from federation.spec import parse_spec
from federation.weights import to_bytes

ROOT = Path(__file__).parents[2]
FOREVER = 4e9


def cell(*, name: str = "small", channels_last: bool = False, **changes: Any) -> Cell:
    """Digits, 6 clients, half of them a round, 4 rounds."""
    raw: dict[str, Any] = {
        "name": "study",
        "model": {"id": "mlp", "options": {"hidden": 8}},
        "data": {"id": "digits", "holdout": 0.0, "partition": {"kind": "dirichlet", "parts": 6}},
        "training": {"batch_size": 32, "learning_rate": 0.2},
        "cohort": {"size": 3},
        "rounds": 4,
    }
    return Cell(name, parse_spec(raw | changes), channels_last=channels_last)


def arguments(folder: Path, **changes: Any) -> argparse.Namespace:
    """Of a command line that says nothing."""
    plain = {"quick": True, "estimate": False, "minutes": 5.0, "workers": 1, "processes": False, "only": ""}
    return argparse.Namespace(**plain | {"state": folder, "json": None} | changes)


def study(*cells: Cell) -> Study:
    """A table of rounds and accuracies."""

    def table(outcomes: Any) -> str:
        rows = [(each.cell.name, str(len(each.rows)), str(each.last())) for each in outcomes]
        return markdown(("cell", "rounds", "accuracy"), rows)

    return Study("small", "A small study", lambda quick: list(cells), table, ("it says little",), workers=1)


def after_rounds(monkeypatch: pytest.MonkeyPatch, count: int) -> Callable[[], float]:
    """A clock that shows the deadline once so many rounds are kept."""
    done = 0
    keep = study_rounds.keep

    def counted(*what: Any) -> None:
        nonlocal done
        keep(*what)
        done += 1

    monkeypatch.setattr(study_rounds, "keep", counted)
    return lambda: FOREVER + 1 if done >= count else 0.0


AGGREGATIONS = [{"rule": "fedavg"}, {"rule": "fedadam"}, {"rule": "krum", "options": {"f": 0}}, {"rule": "scaffold"}]


@pytest.mark.parametrize("aggregation", AGGREGATIONS, ids=lambda aggregation: aggregation["rule"])
@pytest.mark.parametrize("model", [{"id": "mlp", "options": {"hidden": 8}}, {"id": "mcmahan_cnn"}], ids=["mlp", "cnn"])
def test_an_interrupted_cell_goes_on_to_the_same_bits(
    aggregation: dict[str, Any], model: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = cell(aggregation=aggregation, model=model, channels_last=model["id"] == "mcmahan_cnn")
    whole = advance(small, tmp_path / "whole", FOREVER)
    with monkeypatch.context() as patch:
        patch.setattr(study_rounds, "time", FakeTime(after_rounds(patch, 2)))
        part = advance(small, tmp_path / "parts", FOREVER)
    assert (len(part.rows), part.over, part.state) == (2, False, "stopped after 2 of 4 rounds")
    rest = advance(small, tmp_path / "parts", FOREVER)
    assert [(row.round, row.accuracy, row.loss) for row in rest.rows] == [
        (row.round, row.accuracy, row.loss) for row in whole.rows
    ]
    (_, one), (_, other) = kept(small, tmp_path / "whole"), kept(small, tmp_path / "parts")
    assert one is not None
    assert other is not None
    assert to_bytes(one.weights) == to_bytes(other.weights)
    assert to_bytes(one.state) == to_bytes(other.state)
    assert bool(one.state) == (aggregation["rule"] in ("fedadam", "scaffold"))


class FakeTime:
    """The module, with another clock on the wall."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.time = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def test_a_cell_that_is_over_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = advance(cell(), tmp_path, FOREVER)
    monkeypatch.setattr(study_rounds, "simulate", None)
    assert advance(cell(), tmp_path, FOREVER).rows == first.rows


def test_a_cell_ends_in_the_round_that_reaches_its_target(tmp_path: Path) -> None:
    found = advance(cell(stopping={"target_accuracy": 0.01}), tmp_path, FOREVER)
    assert (found.reached, len(found.rows), found.over) == (1, 1, True)


def test_nothing_is_started_when_the_time_is_up(tmp_path: Path) -> None:
    found = advance(cell(), tmp_path, time.time() - 1)
    assert (found.rows, found.over, list(tmp_path.iterdir())) == ([], False, [])


def test_what_diverges_is_a_result_and_no_failure(tmp_path: Path) -> None:
    found = advance(cell(training={"learning_rate": 100.0, "epochs": 30, "weight_decay": 1.0}), tmp_path, FOREVER)
    assert (found.diverged, found.over) == (True, True)
    assert found.state.startswith("diverged in round 1: client-")
    assert found.last() is None


@pytest.mark.parametrize(
    "other",
    [
        cell(training={"batch_size": 32, "learning_rate": 0.1}),
        cell(rounds=5),
        cell(seed=1),
        replace(cell(), engine="vectorized"),
        replace(cell(), attack="alie", attackers=0.2),
        cell(channels_last=True),
    ],
    ids=["rate", "rounds", "seed", "engine", "attack", "channels"],
)
def test_another_cell_has_another_key(other: Cell) -> None:
    assert other.key != cell().key
    assert cell(name="called otherwise").key == cell().key


def test_another_code_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cell().key
    monkeypatch.setattr(study_cells, "code_digest", lambda: "another")
    assert cell().key != before


def test_what_is_kept_under_another_spec_is_not_taken(tmp_path: Path) -> None:
    advance(cell(), tmp_path, FOREVER)
    assert kept(cell(seed=1), tmp_path) == ([], None)


def test_a_kept_file_that_is_no_such_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / f"{cell().key}.safetensors").write_bytes(b"half of one")
    assert kept(cell(), tmp_path) == ([], None)
    assert advance(cell(), tmp_path, FOREVER).over


@pytest.mark.e2e
def test_the_estimate_comes_before_the_table_and_the_table_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = cell(name="too few", aggregation={"rule": "krum", "options": {"f": 5}})
    file = tmp_path / "study.json"
    code = run(study(cell(), refused), arguments(tmp_path / "kept", json=file), "python -m small")
    said = capsys.readouterr().out
    assert code == 1
    assert said.index("estimate of small") < said.index("minutes at most") < said.index("## A small study")
    assert "`python -m small`" in said
    assert "| small | 4 | 0." in said
    assert "- missing: too few (refused: cohort.quorum: " in said
    told = json.loads(file.read_text())
    assert [len(each["rounds"]) for each in told["cells"]] == [4, 0]
    assert told["report"] in said


@pytest.mark.e2e
def test_a_study_stops_at_its_time_with_a_table_of_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(study_rounds, "time", FakeTime(after_rounds(patch, 1)))
        advance(cell(), tmp_path, FOREVER)
    assert run(study(cell()), arguments(tmp_path, minutes=0.0), "python -m small") == 0
    said = capsys.readouterr().out
    assert "| small | 4 | 1 |" in said.partition("## A small study")[0]
    assert "| small | 1 | 0." in said
    assert "- missing: small (stopped after 1 of 4 rounds)." in said


@pytest.mark.e2e
def test_an_estimate_alone_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(study(cell()), arguments(tmp_path / "kept", estimate=True), "python -m small") == 0
    assert "##" not in capsys.readouterr().out
    assert not (tmp_path / "kept").exists()


def test_an_estimate_counts_rounds_steps_and_scorings() -> None:
    small = cell(rounds=10, evaluation={"every": 5}, training={"batch_size": 32, "epochs": 2})
    steps = 2 * 8  # 1,437 digits among 6, in batches of 32
    assert seconds(small, Pace(1.0, 0.1, 3.0)) == pytest.approx(10 * (1.0 + steps * 0.1) + 2 * 3.0)
    assert seconds(small, Pace(1.0, 0.1, 3.0), rounds_kept=5) == pytest.approx(5 * (1.0 + steps * 0.1) + 3.0)


def test_cells_that_differ_only_in_what_costs_no_time_are_timed_once() -> None:
    alike = cell(training={"batch_size": 32, "epochs": 5}, rounds=9, stopping={"target_accuracy": 0.9})
    assert kind(alike).key == kind(cell()).key
    assert kind(cell(model={"id": "logistic"})).key != kind(cell()).key


def test_the_longest_go_first() -> None:
    assert makespan([1.0, 1.0, 1.0, 3.0], 2) == 3.0
    assert makespan([], 2) == 0.0


def test_missing_data_end_a_study_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POTLUCK_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with pytest.raises(NotMeasured, match=r"^mnist: .+ To mend it: "):
        need_data([cell(data={"id": "mnist"}, model={"id": "logistic"})])


def test_a_report_without_gaps_says_so() -> None:
    over = Outcome(cell(rounds=1), [study_cells.Row(1, 0.5, 1.0, 1.0, False, 0.1, 0.1)])
    assert report(study(cell()), [over], "x", "here", 60.0).endswith("- nothing is missing.")


ONE_WORKER = ("lora", "heterogeneity", "mcmahan")
"""Studies that are asked for one process: it starts sooner than as many as usual, which the others have."""


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", str(tmp_path / "x.json")]
    command += ["--workers", "1"] if name in ONE_WORKER else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=ROOT)
    told = json.loads((tmp_path / "x.json").read_text())
    assert done.stdout.index("estimate of") < done.stdout.index("\n## ")
    assert done.returncode == int(any(each["state"].startswith("refused") for each in told["cells"])), done.stderr
    ran = [each for each in told["cells"] if not each["state"].startswith("refused")]
    assert all(each["rounds"] or each["scores"] for each in ran)  # a base model alone has no rounds
