"""Ordinary data sets that are a little odd: read as they are meant, or refused by the file, column or row at fault."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from federation.errors import Refused
from federation.hub_data import DataPin
from resources.datasets import named
from resources.datasets.hub import pinning
from resources.datasets.hub.labels import read_labels
from resources.datasets.hub.numbers import read_numbers, scaled
from tests.resources.hub.parquet_files import laid_out, parquet, task

ALONE: dict[str, Any] = {"evaluation": {"server": False}}
TRAIN = {"a": [0.1, 0.2, 0.3], "label": [0, 1, 0]}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POTLUCK_DATA", raising=False)
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "decoded"))


def refused(folder: Path, files: dict[str, dict[str, Any]], **sections: Any) -> str:
    laid_out(folder, {f"{name}.parquet": parquet(columns) for name, columns in files.items()})
    with pytest.raises(Refused) as caught:
        named.settle(task(**sections), folder=folder)
    assert caught.value.code == "invalid_spec"
    return caught.value.problem


@pytest.mark.parametrize(
    ("test", "type_"),
    [
        ({"a": [0.1, 0.2], "label": ["0", "1"]}, "string"),
        ({"a": [0.1], "label": ["x"]}, "string"),
        ({"a": [0.1, 0.2], "label": [0.9, 1.7]}, "double"),
        ({"a": [0.1], "label": [[1]]}, "list<element: int64>"),
    ],
)
def test_labels_of_the_test_split_are_what_the_training_splits_are(
    tmp_path: Path, test: dict[str, Any], type_: str
) -> None:
    said = refused(tmp_path, {"train": TRAIN, "test": test})
    assert said == f"data.columns: label is int64 in the first file, and in test.parquet {type_}."


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"a": [0.1, 0.2], "label": ["u", "v"]}, "label is int64 in the first file, and in {} string"),
        ({"a": [0.1, 0.2], "label": [[1], [2]]}, "label is int64 in the first file, and in {} list<element: int64>"),
        ({"a": ["q", "r"], "label": [0, 1]}, "a is double in the first file, and in {} string"),
        ({"label": [0, 1]}, "a is double in the first file, and in {} no such column"),
    ],
)
def test_the_files_of_one_split_have_the_same_columns(tmp_path: Path, second: dict[str, Any], said: str) -> None:
    names = ["train-00000-of-00002", "train-00001-of-00002"]
    assert said.format(f"{names[1]}.parquet") in refused(tmp_path, dict(zip(names, (TRAIN, second), strict=True)))


def test_fractions_and_whole_numbers_are_both_numbers(tmp_path: Path) -> None:
    files = {"train.parquet": parquet(TRAIN), "test.parquet": parquet({"a": [0, 1], "label": [0, 1]})}
    spec = named.settle(task(), folder=laid_out(tmp_path, files))
    assert len(named.load(spec, "test", folder=tmp_path)) == 2


def test_whole_numbers_that_no_float_holds_are_named(tmp_path: Path) -> None:
    said = refused(tmp_path, {"train": {"a": [1, None, 2**60 + 1], "b": [1, 2, 3], "label": [0, 1, 0]}})
    assert "row 2 of the training split has 1152921504606846977 in a, which is too large to be read exactly" in said


def test_labels_beyond_63_bits_are_refused(tmp_path: Path) -> None:
    huge = pa.array([0, 2**64 - 1], pa.uint64())
    assert "label holds numbers of more than 63 bits" in refused(tmp_path, {"train": {"a": [1, 2], "label": huge}})


def test_a_pin_that_names_other_columns_than_it_should_is_refused_by_whoever_reads(tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    file.write_bytes(parquet({"a": [[1], [2]], "b": ["x", "y"], "c": [0.5, 1.5]}))
    for column in ("a", "c"):
        with pytest.raises(Refused, match=f"{column} holds .* and classes are whole numbers or words"):
            read_labels([file], column, "train")
    for column in ("a", "b"):
        with pytest.raises(Refused, match=f"{column} holds .* no numbers"):
            read_numbers([file], [column], "train")


@pytest.mark.parametrize(
    ("train", "test", "becomes"),
    [
        ([-1.7e308, 1.7e308], [0.0, 1.7e308], [0.5, 1.0]),
        ([-1.7e308, 0.0], [1.7e308], [2.0]),
        ([0.1, 0.2], [1e300, -1e300], [np.finfo(np.float32).max, np.finfo(np.float32).min]),
        ([0.0, 5e-324], [5e-324, 1e300], [1.0, np.finfo(np.float32).max]),
        ([1.7e308, 1.7e308], [1.7e308], [0.0]),
    ],
)
def test_examples_of_finite_numbers_are_finite(train: list[float], test: list[float], becomes: list[float]) -> None:
    found = scaled(np.array(test)[:, None], np.array(train)[:, None])
    assert found.dtype == np.float32
    assert found[:, 0] == pytest.approx(becomes)


def test_more_classes_than_a_task_names_are_not_called_by_numbers_that_are_not_theirs(tmp_path: Path) -> None:
    files = {"train.parquet": parquet({"a": np.arange(150) * 1.0, "label": np.arange(1, 151)})}
    spec = named.settle(task(**ALONE), folder=laid_out(tmp_path, files))
    names = named.image_card(spec).class_names
    assert (len(names), names[0], names[149]) == (150, "class 0", "class 149")
    files = {"train.parquet": parquet({"a": np.arange(150) * 1.0, "label": np.arange(150)})}
    spec = named.settle(task(**ALONE), folder=laid_out(tmp_path, files))
    assert named.image_card(spec).class_names[149] == "149"  # the label itself


def test_a_data_set_that_takes_long_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, look = [], pinning._looked_at
    slow, entered, go_on = tmp_path / "slow", threading.Event(), threading.Event()

    def looked_at(*given: Any) -> DataPin:
        looks.append(given)
        if given[1].folder.is_relative_to(slow):
            entered.set()
            assert go_on.wait(10)
        return look(*given)

    monkeypatch.setattr(pinning, "_looked_at", looked_at)
    spec, pins = task(**ALONE), []
    laid_out(slow, {"train.parquet": parquet(TRAIN)})
    laid_out(tmp_path / "quick", {"train.parquet": parquet(TRAIN | {"a": [3, 2, 1]})})
    waiting = [threading.Thread(target=lambda: pins.append(pinning.pin(spec, slow))) for _ in range(2)]
    other = threading.Thread(target=pinning.pin, args=(spec, tmp_path / "quick"))
    try:
        waiting[0].start()
        assert entered.wait(10)
        waiting[1].start()
        other.start()
        other.join(5)
        assert not other.is_alive()
    finally:
        go_on.set()
        for each in waiting:
            each.join(10)
    assert len(looks) == 2  # and who asked for the slow one meanwhile was told what was found
    assert pins[0] == pins[1]
