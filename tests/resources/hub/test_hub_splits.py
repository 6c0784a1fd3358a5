"""Which files of a repository are which split of which configuration."""

from __future__ import annotations

from typing import Any

import pytest

from federation.data_spec import DataSpec
from federation.errors import Refused
from resources.datasets.hub.listing import Listing, RemoteFile
from resources.datasets.hub.splits import chosen, layout


def found(*paths: str, **card: Any) -> Listing:
    return Listing("acme/things", "1" * 40, {path: RemoteFile(10, None) for path in paths}, card=card)


def data(**more: Any) -> DataSpec:
    return DataSpec.model_validate({"id": "hf:acme/things", **more})


@pytest.mark.parametrize(
    ("paths", "config"),
    [
        (("train.parquet", "test.parquet"), "default"),
        (("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test.parquet"), "default"),
        (("plain/train-00000-of-00001-0a1b.parquet", "plain/test-00000-of-00001.parquet"), "plain"),
        (("plain/train/0000.parquet", "plain/train/0001.parquet", "plain/test/0000.parquet"), "plain"),
        (("iris_train.parquet", "iris_test.parquet"), "default"),
    ],
)
def test_folders_and_names_say_what_a_file_is(paths: tuple[str, ...], config: str) -> None:
    name, train, test = chosen(data(), found(*paths))
    assert name == config
    assert train == tuple(path for path in paths if "train" in path)
    assert test == tuple(path for path in paths if "test" in path)


def test_the_card_is_believed_first() -> None:
    files = [{"split": "train", "path": "odd/*.parquet"}, {"split": "test", "path": ["last.parquet"]}]
    listing = found("odd/a.parquet", "odd/b.parquet", "last.parquet", configs=[{"data_files": files}])
    assert chosen(data(), listing) == ("default", ("odd/a.parquet", "odd/b.parquet"), ("last.parquet",))


@pytest.mark.parametrize("configs", ["no list", [7], [{"data_files": {"train": 3}}], [{"data_files": [{"path": 5}]}]])
def test_a_card_of_nonsense_is_passed_over(configs: Any) -> None:
    assert layout(found("train.parquet", configs=configs)) == {"default": {"train": ("train.parquet",)}}


def test_validation_serves_where_there_is_no_test_split() -> None:
    listing = found("train.parquet", "validation.parquet")
    assert chosen(data(), listing)[2] == ("validation.parquet",)
    assert chosen(data(splits={"train": "validation"}), listing) == ("default", ("validation.parquet",), ())


@pytest.mark.parametrize(
    ("paths", "asked", "field", "said"),
    [
        (("a/train.parquet", "b/train.parquet"), {}, "data.config", "choose one: a, b"),
        (("a/train.parquet",), {"config": "c"}, "data.config", "use a"),
        (("train.parquet",), {"splits": {"test": "dev"}}, "data.splits.test", "use train"),
        (("a/partial-train/0000.parquet",), {}, "data.splits.train", "converted only the first part"),
        (("sub/0000.parquet.txt",), {}, "data.id", "choose a data set with parquet files"),
        (tuple(f"train-{n:05}-of-00040.parquet" for n in range(40)), {}, "data.splits.train", "more than the 32"),
    ],
)
def test_what_cannot_be_chosen_is_refused_with_what_there_is(
    paths: tuple[str, ...], asked: dict[str, Any], field: str, said: str
) -> None:
    listing = found(*(path for path in paths if path.endswith(".parquet")))
    with pytest.raises(Refused) as refused:
        chosen(data(**asked), listing)
    assert refused.value.problem.startswith(f"{field}: ")
    assert said in f"{refused.value.problem} {refused.value.mend}"
