"""Which parquet files make up which split of which configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from federation.data_spec import DataSpec
from federation.hub_data import MOST_FILES, SplitsSpec
from resources.datasets.hub.listing import Listing
from resources.models.card import Unbuildable

Splits = dict[str, tuple[str, ...]]
_SHARD = re.compile(r"^(?P<split>[A-Za-z0-9_.]+?)(?:-\d{5}-of-\d{5}(?:-[0-9a-f]+)?)?\.parquet$")
_NUMBER = re.compile(r"^\d+\.parquet$")
_USUAL = ("train", "test", "validation", "valid", "dev", "val", "eval")
_SHOWN = 20
_MOST = 200
"""Of a card's entries of one kind: the rest is not read."""


def chosen(data: DataSpec, found: Listing) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The configuration, and the files of its training and test split; no test files where there is no such split.

    Raises:
        Refused: `Unbuildable`, naming data.config or data.splits, with what there is.
    """
    configs = layout(found)
    config = _config(data, configs, found)
    splits, wanted = configs[config], data.splits or SplitsSpec()
    train = _split("train", wanted.train, splits, config)
    if wanted.test is not None:
        return config, train, _split("test", wanted.test, splits, config)
    test = next((name for name in ("test", "validation") if name in splits and name != wanted.train), None)
    return config, train, () if test is None else _split("test", test, splits, config)


def layout(found: Listing) -> dict[str, Splits]:
    """Configuration -> split -> files, sorted: as the card says, else as folders and names do."""
    return _by_card(found.card, sorted(found.files)) or _by_path(sorted(found.files))


def _by_card(card: Mapping[str, Any], files: list[str]) -> dict[str, Splits]:
    configs: dict[str, Splits] = {}
    for entry in islice(_dicts(card.get("configs")), _MOST):
        splits: Splits = {}
        for split, patterns in _data_files(entry.get("data_files")):
            matched = tuple(file for file in files if any(_matches(file, pattern) for pattern in patterns))
            if matched:
                splits[split] = matched
        if splits:
            configs[str(entry.get("config_name", "default"))] = splits
    return configs


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, dict))


def _data_files(value: Any) -> Iterator[tuple[str, list[str]]]:
    if isinstance(value, (str, list)) and not any(isinstance(each, dict) for each in value):
        yield "train", _texts(value)
    for entry in islice(_dicts(value), _MOST):
        yield str(entry.get("split", "train")), _texts(entry.get("path"))


def _texts(value: Any) -> list[str]:
    each = value if isinstance(value, list) else [value]
    return [text for text in each[:_MOST] if isinstance(text, str) and len(text) <= 300]


def _matches(file: str, pattern: str) -> bool:
    return fnmatchcase(file, pattern.replace("**/", "*"))


def _by_path(files: Iterable[str]) -> dict[str, Splits]:
    configs: dict[str, dict[str, list[str]]] = {}
    for file in files:
        *folders, name = file.split("/")
        if folders and _NUMBER.match(name):  # <config>/<split>/0000.parquet, the Hub's conversion
            config, split = "/".join(folders[:-1]), folders[-1]
        elif found := _SHARD.match(name):
            config, split = "/".join(folders), _known(found["split"])
        else:
            continue
        configs.setdefault("default" if config in ("", "data") else config, {}).setdefault(split, []).append(file)
    return {config: {split: tuple(names) for split, names in splits.items()} for config, splits in configs.items()}


def _known(stem: str) -> str:
    """`train` of `train`, `iris_train` or `train.clean`; the stem itself, where it names no usual split."""
    words = re.split(r"[_.]", stem.lower())
    return stem if stem in _USUAL else next((name for name in _USUAL if name in words), stem)


def _config(data: DataSpec, configs: Mapping[str, Splits], found: Listing) -> str:
    if not configs:
        mend = "choose a data set with parquet files, or bring the data as `own`"
        raise Unbuildable("data.id", f"{found.repository} has no parquet file that is a split's", mend)
    if data.config is not None and data.config not in configs:
        raise Unbuildable("data.config", f"there is no configuration {data.config}", f"use {_names(configs)}")
    if data.config is None and "default" not in configs and len(configs) > 1:
        problem = f"{found.repository} has several configurations"
        raise Unbuildable("data.config", problem, f"choose one: {_names(configs)}")
    return data.config or ("default" if "default" in configs else next(iter(configs)))


def _split(role: str, name: str, splits: Splits, config: str) -> tuple[str, ...]:
    field = f"data.splits.{role}"
    if name not in splits:
        partial = f"partial-{name}" in splits
        problem = f"of {name} the Hub has converted only the first part" if partial else f"there is no split {name}"
        raise Unbuildable(field, f"{problem} in configuration {config}", f"use {_names(splits)}")
    if len(splits[name]) > MOST_FILES:
        problem = f"{name} has {len(splits[name])} files, more than the {MOST_FILES} that are taken"
        raise Unbuildable(field, problem, "choose a smaller split, configuration or data set")
    return splits[name]


def _names(of: Iterable[str]) -> str:
    names = sorted(of)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:80] for name in names[:_SHOWN]) + more
