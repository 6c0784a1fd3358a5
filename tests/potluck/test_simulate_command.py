from __future__ import annotations

import json
import sys

import pytest

from potluck.cli import main

SMALL = ["--clients", "8", "--rounds", "2", "--lr", "0.5", "--batch-size", "16", "--model-option", "hidden=16"]


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["potluck", "simulate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_json_is_an_object_a_round_and_a_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SMALL, "--partition", "dirichlet", "--alpha", "0.3", "--json"], monkeypatch) == 0
    *rounds, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["round"] for each in rounds] == [1, 2]
    for each in rounds:
        assert 0 < each["accuracy"] < 1
        assert each["loss"] > 0
        assert each["seconds"] > 0
        assert each["bytes"] == each["bytes_up"] + each["bytes_down"]
        assert each["clients"] == 8
        assert len(each["per_class_accuracy"]) == 10
    assert last["summary"]["rounds"] == 2
    assert last["summary"]["accuracy"] == rounds[-1]["accuracy"]
    assert last["summary"]["bytes"] == sum(each["bytes"] for each in rounds)


def test_the_same_seed_prints_the_same_scores_whatever_the_engine_does_beside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def scores(*more: str) -> list[float]:
        assert run([*SMALL, "--json", *more], monkeypatch) == 0
        return [json.loads(line)["loss"] for line in capsys.readouterr().out.splitlines()[:-1]]

    assert scores() == scores()
    assert scores() == pytest.approx(scores("--engine", "loop"), rel=1e-4)
    assert scores() != scores("--seed", "1")


def test_scaffold_is_simulated_and_moves_twice_the_bytes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run([*SMALL, "--rule", "scaffold", "--option", "eta=0.9", "--partition", "shards", "--json"], monkeypatch) == 0
    )
    first, second, _ = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first["bytes_up"] == second["bytes_up"]
    assert second["bytes_down"] == pytest.approx(2 * first["bytes_down"], rel=0.05)
    assert second["loss"] < first["loss"]


def test_people_get_a_table_and_it_ends_at_the_target(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--rounds", "30", "--target-accuracy", "0.3", "--fraction", "0.5", "--partition", "shards", "--shards", "5"]
    assert run([*SMALL, *more], monkeypatch) == 0
    heading, *rows, last = capsys.readouterr().out.splitlines()
    assert heading.split() == ["round", "accuracy", "loss", "seconds", "up", "down", "clients"]
    assert 1 <= len(rows) < 30
    assert all(float(row.split()[1]) < 0.3 for row in rows[:-1])
    assert float(rows[-1].split()[1]) >= 0.3
    assert last.endswith("target 0.3 reached")


def test_an_attack_and_a_rule_with_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--attack", "backdoor", "--attackers", "0.25", "--rule", "multi_krum", "--option", "f=2", "--option", "m=4"]
    assert run([*SMALL, *more, "--mixing", "nnm", "--json"], monkeypatch) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["attackers"] == 2
    assert 0 <= first["backdoor"] <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rule", "krumm"], "aggregation.rule"),
        (["--rule", "scaffold", "--momentum", "0.9"], "control variates"),
        (["--rule", "krum", "--option", "f=3"], "krum needs 9"),
        (["--option", "mu"], "is no key=value"),
        (["--option", "mu=1"], "fedavg has no option 'mu'"),
        (["--data", "letters"], "there is no data set 'letters'"),
        (["--model", "resnet"], "there is no model 'resnet'"),
        (["--model-option", "width=3"], "no such option"),
        (["--clients", "5000"], "cannot be cut into 5000 parts"),
        (["--fraction", "0"], "cohort.fraction"),
        (["--lr", "1e30"], "training.learning_rate"),
        (["--optimizer", "adam", "--momentum", "0.9"], "momentum belongs to sgd"),
        (["--attack", "bribe", "--attackers", "0.5"], "there is no attack 'bribe'"),
        (["--attackers", "0.5"], "no attack is named"),
        (["--lr", "100", "--weight-decay", "1", "--rounds", "30"], "no longer finite"),
    ],
)
def test_what_cannot_be_simulated_is_one_line_with_the_mend_and_exit_code_1(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SMALL, *arguments], monkeypatch) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert words in said.err
    assert "Mend: " in said.err
    assert said.err.count("\n") == 1
