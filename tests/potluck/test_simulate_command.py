from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from potluck.cli import main
from resources.datasets.catalogue import datasets
from resources.models.catalogue import models
from tests.resources.hub.parquet_files import images, laid_out

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
        (["--rule", "krumm"], "--rule: "),
        (["--rule", "scaffold", "--momentum", "0.9"], "control variates"),
        (["--rule", "krum", "--option", "f=3"], "krum needs 9. Mend: let a round take 9 clients (more --clients"),
        (["--rule", "krum", "--clients", "4"], "or give --option f=0, which withstands none"),
        (["--rule", "krum", "--mixing", "nnm", "--option", "f=NaN"], "--option f: Input should be a finite number"),
        (["--data", "own"], "own data is on its nodes"),
        (["--rounds", "1000000"], "--rounds: "),
        (["--alpha", "0", "--partition", "dirichlet"], "--alpha: "),
        (["--partition", "shards", "--shards", "1000"], "Mend: lower --clients or --shards"),
        (["--weighting", "examples", "--rule", "krum"], "leave --weighting out"),
        (["--workers", "2"], "Mend: give --engine processes as well, or leave --workers out"),
        (["--workers", "2", "--engine", "loop"], "--workers belongs to the engine processes"),
        (["--option", "mu"], "is no key=value"),
        (["--option", "mu=1"], "fedavg has no option 'mu'"),
        (["--data", "letters"], "--data: there is no data set 'letters'. Mend: use one of digits, mnist"),
        (["--data", "shakespeare"], "--data: shakespeare holds texts, and the task's model takes numbers. Mend"),
        (["--model", "resnet"], ": --model: there is no model 'resnet'. Mend"),
        (["--model", "hf:a/b"], ": --model: hf:a/b is a pretrained language model"),
        (["--model-option", "width=3"], "--model-option width: mlp has no such option. Mend"),
        (["--clients", "5000"], "Mend: lower --clients to 1437 or less, or lower --min-examples"),
        (["--fraction", "0"], "--fraction: "),
        (["--lr", "1e30"], "--lr: "),
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
    for section in ("aggregation.", "cohort.", "data.", "model.", "training.", "evaluation.", "potluck://"):
        assert section not in said.err


@pytest.mark.parametrize("arguments", [["--threads", "257"], ["--engine", "processes", "--workers", "65"]])
def test_more_threads_or_workers_than_any_machine_gains_from_are_wrong_usage(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([*SMALL, *arguments], monkeypatch) == 2


def test_rounds_before_a_client_diverged_are_summed_up_before_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    diverging = [*SMALL, "--lr", "4", "--weight-decay", "1", "--rounds", "30"]
    assert run([*diverging, "--json"], monkeypatch) == 1
    said = capsys.readouterr()
    *rounds, last = [json.loads(line) for line in said.out.splitlines()]
    assert 1 <= last["summary"]["rounds"] == len(rounds) < 30
    assert "lower the learning rate (--lr)" in said.err
    assert run(diverging, monkeypatch) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{len(rounds)} rounds in ")


def test_help_names_every_model_and_every_data_set_that_they_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--help"], monkeypatch) == 0
    said = capsys.readouterr().out
    for card in (*models(), *(each for each in datasets() if each.holds == "images")):
        assert card.id in said


def test_a_data_set_of_the_hubs_layout_is_simulated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = ["--clients", "4", "--rounds", "8", "--lr", "1", "--local-epochs", "5", "--model", "logistic"]
    files = {"train.parquet": images(200, classes=3), "test.parquet": images(40, classes=3, seed=1)}
    monkeypatch.setenv("POTLUCK_DATA", str(laid_out(tmp_path, files)))
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "decoded"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert run([*flags, "--data", "hf:acme/things", "--json"], monkeypatch) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["summary"]["accuracy"] > 0.6
    assert run([*SMALL, "--data", "hf:acme/nowhere"], monkeypatch) != 0
    refused = capsys.readouterr().err
    assert "neither in a local folder nor to be had from the Hub" in " ".join(refused.split())
    assert "--data" in refused
