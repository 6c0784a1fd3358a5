"""The node's own share of the data: a part of a catalogued data set, or files that never leave this machine."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from federation.errors import ErrorCode, Refused
from federation.examples import Examples, split_holdout
from federation.hub_data import HF
from federation.spec import TaskSpec, derive_seed
from resources.datasets import catalogue, named
from resources.datasets.own import load_own
from resources.datasets.shares import cut, cut_texts
from resources.datasets.text.encoding import text_share
from resources.datasets.text.files import load_texts
from resources.datasets.text.rows import Rows
from resources.datasets.text.tokenizer import Tokenizer

Own = Examples | Rows
TokenizerOf = Callable[[], Tokenizer]
"""Loads the tokenizer of the task's base model."""


@dataclass(frozen=True)
class Share:
    """What a node trains on, and what it keeps from training to score the models that it receives."""

    train: Examples
    held_out: Examples

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the training examples: other data is other work."""
        digest = hashlib.sha256(repr(tuple(self.train.x.shape)).encode())
        for tensor in (self.train.x, self.train.y):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


class Shares:
    """A node's examples, read once: they are the same in every round.

    Args:
        own: all of the node's own examples or texts; None where it holds a part of the task's data.
    """

    def __init__(self, own: Own | None) -> None:
        self._own = own
        self._held: tuple[tuple[Any, ...], Share] | None = None

    async def of(self, spec: TaskSpec, index: int | None, tokenizer_of: TokenizerOf | None = None) -> Share:
        """As `load_share`."""
        wanted = (spec.data, spec.model, spec.partition_seed, index)
        if self._held is None or self._held[0] != wanted:
            self._held = (wanted, await asyncio.to_thread(load_share, spec, index, self._own, tokenizer_of))
        return self._held[1]


def own_path(data: str | Path | None) -> Path | None:
    """The folder or file of the node's own data that `--data` names; None when it names a catalogued set, or nothing.

    Raises:
        Refused: it is neither a file or folder nor a data set of the catalogue.
    """
    if data is None or (isinstance(data, str) and (data.startswith(HF) or data in _catalogued())):
        return None
    path = Path(data).expanduser()
    if not path.exists():
        known = ", ".join(_catalogued())
        problem = f"{str(data)!r} is neither a file or folder here nor a data set of the catalogue."
        raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, f"correct the path, or use one of {known}")
    return path


def _catalogued() -> list[str]:
    return [card.id for card in catalogue.datasets()]


def own_examples(spec: TaskSpec, data: str | Path | None) -> Own | None:
    """All of the node's own examples, for a language model its texts, checked against the task; None for a node that
    holds a part of the task's data.

    Raises:
        Refused: `data` cannot be read, does not fit the task, or names another data set than the task's.
    """
    path = own_path(data)
    if path is not None and spec.model.pretrained:
        return load_texts(path, num_classes=named.num_classes(spec) if spec.model.classifies else None)
    if path is not None:
        shape, classes = schema(spec)
        return load_own(path, input_shape=shape, num_classes=classes)
    if spec.data.id == "own":
        problem = "this task trains on each node's own data."
        raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, "pass --data with the path of yours")
    if data is not None and data != spec.data.id:
        problem = f"this task trains on {spec.data.id}, not on {data}."
        raise Refused(ErrorCode.BAD_DATA, problem, f"pass --data {spec.data.id}, or leave it out")
    return None


def schema(spec: TaskSpec) -> tuple[tuple[int, ...], int]:
    """Shape of one example and number of classes, for a model of the catalogue."""
    if spec.data.input_shape is not None and spec.data.num_classes is not None:
        return spec.data.input_shape, spec.data.num_classes
    card = named.image_card(spec)
    return card.input_shape, card.num_classes


def load_share(spec: TaskSpec, index: int | None, own: Own | None, tokenizer_of: TokenizerOf | None = None) -> Share:
    """This node's examples: all of its `own`, or part `index` of the task's; reading and cutting may take seconds.

    A task of a pretrained language model needs `tokenizer_of`.

    Raises:
        Refused: the data cannot be had or made examples, or the server has given this node no part of it.
    """
    mine = _part(spec, index) if own is None else own
    seed = derive_seed(spec.partition_seed, "holdout", "own" if own is not None else str(index))
    if isinstance(mine, Examples):
        return Share(*split_holdout(mine, spec.data.holdout, seed))
    if tokenizer_of is None:
        raise ValueError("texts become examples by a tokenizer")
    classifies, holdout = spec.model.classifies, spec.data.holdout
    return Share(*text_share(mine, tokenizer_of(), spec.text, classifies=classifies, holdout=holdout, seed=seed))


def _part(spec: TaskSpec, index: int | None) -> Own:
    if index is None:
        problem = "the server has given this node no part of the data set."
        raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, "join again, or pass --index")
    if not spec.model.pretrained:
        return named.load(spec, "train", indices=cut(spec)[index])
    texts = named.texts(spec, "train")
    return tuple(texts.rows[place] for place in cut_texts(spec, texts)[index])
