"""The node's own share of the data: a part of a catalogued data set, or files that never leave this machine."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, derive_seed
from federation.training import Examples, split_holdout
from resources.datasets import catalogue
from resources.datasets.own import load_own
from resources.datasets.shares import cut


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
        own: all of the node's own examples; None where it holds a part of the task's data.
    """

    def __init__(self, own: Examples | None) -> None:
        self._own = own
        self._held: tuple[tuple[Any, ...], Share] | None = None

    async def of(self, spec: TaskSpec, index: int | None) -> Share:
        """As `load_share`."""
        wanted = (spec.data, spec.partition_seed, index)
        if self._held is None or self._held[0] != wanted:
            self._held = (wanted, await asyncio.to_thread(load_share, spec, index, self._own))
        return self._held[1]


def own_path(data: str | Path | None) -> Path | None:
    """The folder or file of the node's own data that `--data` names; None when it names a catalogued set, or nothing.

    Raises:
        Refused: it is neither a file or folder nor a data set of the catalogue.
    """
    if data is None or (isinstance(data, str) and data in {card.id for card in catalogue.datasets()}):
        return None
    path = Path(data).expanduser()
    if not path.exists():
        known = ", ".join(card.id for card in catalogue.datasets())
        problem = f"{str(data)!r} is neither a file or folder here nor a data set of the catalogue."
        raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, f"correct the path, or use one of {known}")
    return path


def own_examples(spec: TaskSpec, data: str | Path | None) -> Examples | None:
    """All of the node's own examples, checked against the task; None for a node that holds a part of the task's data.

    Raises:
        Refused: `data` cannot be read, does not fit the task, or names another data set than the task's.
    """
    path = own_path(data)
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
    """Shape of one example and number of classes."""
    if spec.data.input_shape is not None and spec.data.num_classes is not None:
        return spec.data.input_shape, spec.data.num_classes
    card = catalogue.card(spec.data.id)
    return card.input_shape, card.num_classes


def load_share(spec: TaskSpec, index: int | None, own: Examples | None) -> Share:
    """This node's examples: all of its `own`, or part `index` of the task's; reading and cutting may take seconds.

    Raises:
        Refused: the data cannot be had, or the server has given this node no part of it.
    """
    seed = spec.partition_seed
    if own is not None:
        return Share(*split_holdout(own, spec.data.holdout, derive_seed(seed, "holdout", "own")))
    if index is None:
        problem = "the server has given this node no part of the data set."
        raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, "join again, or pass --index")
    examples = catalogue.load(spec.data.id, "train", indices=cut(spec)[index])
    return Share(*split_holdout(examples, spec.data.holdout, derive_seed(seed, "holdout", index)))
