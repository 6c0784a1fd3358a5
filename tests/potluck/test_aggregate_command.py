from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from federation.aggregation.contributions import Contribution
from federation.aggregation.rules import aggregate
from federation.spec import AggregationSpec
from federation.weights import load, pack_update, to_bytes
from potluck.cli import main

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def potluck(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["potluck", "aggregate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return potluck


def deltas(folder: Path, count: int, dtype: torch.dtype = torch.float32) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    names = []
    for place in range(count):
        delta = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in (("w", (5, 3)), ("b", ()))}
        names.append(f"{place}.safetensors")
        (folder / names[-1]).write_bytes(pack_update(delta))
    return names


@pytest.mark.parametrize(
    ("rule", "mixing"),
    [("fedavg", "none"), ("fedadam", "none"), ("krum", "none"), ("krum", "nnm"), ("median", "none"), ("median", "nnm")],
)
def test_deltas_come_to_what_the_rule_makes_of_them(rule: str, mixing: str, run: Run, tmp_path: Path) -> None:
    names = deltas(tmp_path, 7)
    assert run("--rule", rule, "--mixing", mixing, "--out", "out.safetensors", *names) == 0
    (tmp_path / "base").write_bytes(to_bytes({"w": torch.zeros(5, 3), "b": torch.zeros(())}))
    spec = AggregationSpec.model_validate({"rule": rule, "mixing": mixing, "weighting": "uniform"})
    made = aggregate(spec, tmp_path / "base", [Contribution(n, "u", tmp_path / n, 1, 1) for n in names])
    assert (tmp_path / "out.safetensors").read_bytes() == pack_update(made.weights)


def test_weights_are_example_counts_in_the_files_order(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "z").write_bytes(to_bytes({"w": torch.tensor([4.0, 0.0])}))
    (tmp_path / "a").write_bytes(to_bytes({"w": torch.tensor([0.0, 4.0])}))
    assert run("--weights", "3,1", "--out", "out", "z", "a") == 0
    assert load(tmp_path / "out")["w"].tolist() == [3.0, 1.0]
    said = capsys.readouterr().out
    assert "fedavg of 2 files of plain tensors: 1 tensors, 2 values in out" in said
    assert "weight 0.75" in said


def test_it_says_whom_a_rule_excludes_and_that_the_files_are_deltas(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = deltas(tmp_path, 5)
    (tmp_path / "2.safetensors").write_bytes(pack_update({"w": torch.full((5, 3), 1e6), "b": torch.zeros(())}))
    assert run("--rule", "multi_krum", "--option", "f=1", "--out", "out", *names) == 0
    said = capsys.readouterr().out.splitlines()
    assert "excluded" in said[2]
    assert said[-1].startswith("multi_krum of 5 files of deltas (delta/<name>): 2 tensors")


def test_other_dtypes_are_kept(run: Run, tmp_path: Path) -> None:
    assert run("--out", "out", *deltas(tmp_path, 3, torch.bfloat16)) == 0
    assert load(tmp_path / "out")["delta/w"].dtype == torch.bfloat16


def test_the_result_may_take_the_place_of_a_file(run: Run, tmp_path: Path) -> None:
    names = deltas(tmp_path, 3)
    assert run("--out", "other", *names) == 0
    assert run("--out", names[0], *names) == 0
    assert (tmp_path / names[0]).read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rule", "mean", "0", "1"], "there is no rule 'mean'"),
        (["--rule", "krum", "0", "1"], "krum has no answer for 2 updates. Mend: give more files, or change the rule"),
        (["--mixing", "nnm", "0", "1"], "nnm prepares updates for a robust rule"),
        (["--rule", "krum", "--weights", "1,2", "0", "1"], "krum counts heads"),
        (["--rule", "fednova", "0", "1"], "how many steps"),
        (["--rule", "lora_exact", "0", "1"], "the adapter that nodes started from and for its scaling; files do not"),
        (["--rule", "scaffold", "0", "1"], "control variates"),
        (["--rule", "fedadam", "plain", "plain"], "plain tensors"),
        (["--option", "f=1", "0", "1"], "fedavg has no option 'f'"),
        (["--weights", "1", "0", "1"], "--weights has 1 counts for 2 files"),
        (["--weights", "1,-2", "0", "1"], "'-2', for 1, is no count: counts are whole numbers of at least 1"),
        (["--weights", "1,0.5", "0", "1"], "'0.5', for 1, is no count: counts are whole numbers of at least 1"),
        (["--weights", "0,1", "0", "1"], "'0', for 0, is no count: counts are whole numbers of at least 1"),
        (["--weights", "1,1000000001", "0", "1"], "--weights: the count for 1 is above 1,000,000,000. Mend: divide"),
        (["--weights", "9" * 5000 + ",1", "0", "1"], "--weights: the count for 0 is above 1,000,000,000. Mend: divide"),
        (["--option", "x" * 5000 + "=1", "0", "1"], "--option xxx"),
        (["--rule", "median", "--option", "f=NaN", "0", "1"], "--option f: Input should be a finite number"),
        (
            ["--rule", "geometric_median", "--option", "smoothing=" + "x" * 300, "0", "1"],
            "--option smoothing: Input should be a finite number, true or false, or a text of at most 256 characters. "
            "Mend: the options of geometric_median: f, iterations, smoothing",
        ),
        (["--rule", "median", "--option", "f=-1", "0", "1"], "--option f: Input should be greater"),
        (["--rule", "krum", "--option", "f=1", "0", "1", "0", "1"], "Mend: lower --option f, or give more files"),
        (["0", "nowhere"], "nowhere cannot be read"),
        (["nowhere"], "nowhere cannot be read"),
        (["0", "plain"], "plain: tensor"),
        (["0", "short"], "short: the safetensors file"),
        (["mixed"], "'w' is not"),
        (["whole"], "has no average"),
        (["nan", "nan"], "nan holds NaN or infinite values"),
    ],
)
def test_what_cannot_be_aggregated_is_one_line_with_the_mend_and_leaves_no_file(
    arguments: list[str], words: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("0", "1"):
        (tmp_path / name).write_bytes(pack_update({"w": torch.ones(3)}))
    (tmp_path / "plain").write_bytes(to_bytes({"w": torch.ones(3)}))
    (tmp_path / "short").write_bytes(pack_update({"w": torch.ones(3)})[:-2])
    (tmp_path / "mixed").write_bytes(to_bytes({"w": torch.ones(3), "delta/w": torch.ones(3)}))
    (tmp_path / "whole").write_bytes(to_bytes({"w": torch.ones(3, dtype=torch.int64)}))
    (tmp_path / "nan").write_bytes(pack_update({"w": torch.tensor([1.0, torch.nan])}))
    before = sorted(tmp_path.iterdir())
    assert run("--out", "out", *arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert words in said
    assert "Mend: " in said
    assert said.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_place_that_cannot_be_written_is_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = deltas(tmp_path, 2)
    assert run("--out", "no/folder/out", *names) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["0.safetensors/out", "x" * 256, ".", "1.safetensors/deeper/out"])
def test_a_place_that_is_none_is_refused_and_nothing_is_left(
    out: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = deltas(tmp_path, 2)
    assert run("--out", out, *names) == 1
    said = capsys.readouterr().err
    assert "cannot be written: " in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_the_result_may_have_a_name_as_long_as_names_may_be(run: Run, tmp_path: Path) -> None:
    assert run("--out", "x" * 250, *deltas(tmp_path, 2)) == 0
    assert (tmp_path / ("x" * 250)).exists()


def test_the_largest_count_is_taken(run: Run, tmp_path: Path) -> None:
    assert run("--weights", "0001000000000,1", "--out", "out", *deltas(tmp_path, 2)) == 0


@pytest.mark.parametrize("clients", ["0", "1000000001"])
def test_a_number_of_clients_out_of_bounds_is_wrong_usage(clients: str, run: Run, tmp_path: Path) -> None:
    assert run("--rule", "scaffold", "--clients", clients, "--out", "out", *with_variates(tmp_path)) == 2


@pytest.mark.parametrize(
    ("arguments", "count", "fewest"),
    [
        (["--rule", "krum"], 4, 5),
        (["--rule", "median"], 2, 3),
        (["--rule", "bulyan"], 6, 7),
        (["--rule", "median", "--mixing", "bucketing"], 4, 5),
    ],
)
def test_a_rule_that_withstands_nothing_for_want_of_files_says_so(
    arguments: list[str], count: int, fewest: int, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"{arguments[1]} of so few files withstands nothing: f = 0; to withstand one it takes {fewest} files"
    names = deltas(tmp_path, fewest)
    assert run(*arguments, "--out", "out", *names[:count]) == 0
    assert capsys.readouterr().out.splitlines()[-2] == words
    assert run(*arguments, "--option", "f=0", "--out", "out", *names[:count]) == 0
    assert run(*arguments, "--out", "out", *names) == 0
    assert "withstands nothing" not in capsys.readouterr().out


def with_variates(folder: Path) -> list[str]:
    """Two updates of a scaffold task."""
    for name, delta, change in (("one", 1.0, 4.0), ("two", 3.0, -8.0)):
        update = pack_update({"w": torch.full((2,), delta)}, {"w": torch.full((2,), change)})
        (folder / name).write_bytes(update)
    return ["one", "two"]


def test_updates_with_control_variates_come_to_a_step_of_the_model_and_one_of_c(run: Run, tmp_path: Path) -> None:
    names = with_variates(tmp_path)
    assert run("--rule", "scaffold", "--clients", "4", "--option", "eta=0.5", "--out", "out", *names) == 0
    found = {name: tensor.tolist() for name, tensor in load(tmp_path / "out").items()}
    assert found == {"delta/w": [1.0, 1.0], "aux/w": [-1.0, -1.0]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rule", "scaffold", "one", "two"], "of how many clients"),
        (["--rule", "scaffold", "--clients", "1", "one", "two"], "of how many clients"),
        (["--rule", "fedavg", "one", "two"], "no use for control variates"),
        (["--rule", "fedavg", "--clients", "4", "0.safetensors"], "no use for control variates"),
        (["--rule", "scaffold", "--clients", "4", "one", "0.safetensors"], "0.safetensors: tensor"),
    ],
)
def test_control_variates_without_their_rule_or_its_number_of_clients_are_refused(
    arguments: list[str], words: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_variates(tmp_path), deltas(tmp_path, 1)
    assert run("--out", "out", *arguments) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
