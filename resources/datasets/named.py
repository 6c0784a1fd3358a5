"""The data set that a task names, whether it is the catalogue's or the Hub's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.hub_data import ColumnsSpec, DataPin
from federation.spec import Problem, TaskSpec
from resources.datasets import catalogue
from resources.datasets.card import ImageCard, Labels, Split, TextCard, Texts
from resources.datasets.hub import pinning
from resources.datasets.hub.files import MOST_BYTES
from resources.datasets.hub.source import HubData
from resources.models.card import Unbuildable

_SHOWN = 20
LOOK_BYTES = 32 << 20
"""Of a data set on the Hub that may be fetched only to look at it."""


class NotLookedAt(Refused):
    """A data set that is too large to be fetched only to look at it; a task of it may be created all the same."""


def settle(spec: TaskSpec, *, folder: Path | None = None, fetch: bool = True) -> TaskSpec:
    """The task with its data set pinned; a task of other data, and one that is pinned, as it is.

    Args:
        fetch: as much as bounds allow; else no more than is fetched to look at it.

    Raises:
        Refused: as `pinning.pin`; `NotLookedAt` where more would have to be fetched than may be.
    """
    if not spec.data.on_the_hub or spec.data.pin is not None:
        return spec
    found = pinning.pin(spec, catalogue.data_folder(folder), most_bytes=MOST_BYTES if fetch else LOOK_BYTES)
    if isinstance(found, pinning.NotHere):
        problem = f"{found.repository} is not on this machine, and its {found.size / 2**20:,.0f} MiB are not fetched "
        problem += "to look at them: its shape, its classes and so the budget are not known yet."
        raise NotLookedAt(ErrorCode.DATA_UNAVAILABLE, problem, "none is needed: create_task fetches and checks it")
    return spec.model_copy(update={"data": spec.data.model_copy(update={"pin": found})})


def pin_problems(spec: TaskSpec, *, folder: Path | None = None, fetch: bool = True) -> Iterator[Problem]:
    """What is wrong with a settled task's pin: one that it came with must be what the data set gives, and the server
    cannot score without a test split. Refusals as `settle`."""
    pin = spec.data.pin
    if pin is None:
        return
    afresh = spec.data.model_copy(update={"pin": None, "revision": pin.revision or spec.data.revision})
    found = settle(spec.model_copy(update={"data": afresh}), folder=folder, fetch=fetch).data.pin
    if found is None or found.model_copy(update={"revision": pin.revision}) != pin:
        said = "it is not what the data set is with these columns, splits and files"
        yield Problem(field="data.pin", problem=said, mend="leave data.pin out: the server pins the data itself")
    elif spec.evaluation.server and not pin.test:
        mend = "set evaluation.server to false, or name a split as data.splits.test"
        yield Problem(field="evaluation.server", problem="the data set has no test split", mend=mend)


def inferred(spec: TaskSpec) -> Problem | None:
    """What of a settled task's columns was not said, but read off the data: a person should see it."""
    pin, told = spec.data.pin, spec.data.columns or ColumnsSpec()
    if pin is None or told == pin.columns:
        return None
    x = pin.columns.x if isinstance(pin.columns.x, str) else ", ".join((pin.columns.x or ())[:_SHOWN])
    more = len(pin.columns.x or ()) - _SHOWN if isinstance(pin.columns.x, tuple) else 0
    said = f"read off the data: x is {x}{f' and {more} more' if more > 0 else ''} ({pin.holds})"
    if pin.columns.y is not None:
        said += f", y is {pin.columns.y}" + (f" ({pin.num_classes} classes)" if pin.num_classes else "")
    return Problem(field="data.columns", problem=said, mend="none is needed, unless you mean others: name them")


def image_card(spec: TaskSpec) -> ImageCard:
    """The card of the task's images or numbers; refusals as `catalogue.image_card`, or as `settle`."""
    if not spec.data.on_the_hub:
        return catalogue.image_card(spec.data.id)
    pin = _pin(spec)
    if pin.holds == "texts" or pin.input_shape is None or pin.num_classes is None:
        mend = "choose a language model, model.id hf:..., or another data set"
        raise Unbuildable("data.id", f"{spec.data.id} is pinned as texts, and the task's model takes numbers", mend)
    return ImageCard(
        id=spec.data.id,
        title=spec.data.id,
        description="",
        num_train=pin.num_train,
        num_test=pin.num_test,
        licence="",
        source="the Hugging Face Hub",
        input_shape=pin.input_shape,
        class_names=pin.class_names or _numbers(pin.num_classes, pin.labels == "sorted"),
    )


def text_card(spec: TaskSpec) -> TextCard:
    """The card of the task's texts; refusals as `catalogue.text_card`, or as `settle`."""
    if not spec.data.on_the_hub:
        return catalogue.text_card(spec.data.id)
    pin = _pin(spec)
    if pin.holds != "texts":
        mend = "choose a model of the catalogue (see search_models), or another data set"
        raise Unbuildable("data.id", f"{spec.data.id} is pinned as {pin.holds}, and the task's model takes texts", mend)
    return TextCard(
        id=spec.data.id,
        title=spec.data.id,
        description="",
        num_train=pin.num_train,
        num_test=pin.num_test,
        licence="",
        source="the Hugging Face Hub",
        num_users=0,
        train_characters=pin.characters,
    )


def load(
    spec: TaskSpec, split: Split, *, folder: Path | None = None, indices: NDArray[np.int64] | None = None
) -> Examples:
    """As `catalogue.load`."""
    if spec.data.on_the_hub:
        return _hub(spec, folder).examples(split, indices)
    return catalogue.load(spec.data.id, split, folder=folder, indices=indices)


def labels(spec: TaskSpec, split: Split, *, folder: Path | None = None) -> Labels:
    """As `catalogue.labels`."""
    return (
        _hub(spec, folder).labels(split)
        if spec.data.on_the_hub
        else catalogue.labels(spec.data.id, split, folder=folder)
    )


def users(spec: TaskSpec, split: Split, *, folder: Path | None = None) -> NDArray[np.str_] | None:
    """Whose each example is; None where nobody says."""
    found = _hub(spec, folder).users(split) if spec.data.on_the_hub else None
    return None if found is None else np.array(found)


def texts(spec: TaskSpec, split: Split, *, folder: Path | None = None) -> Texts:
    """As `catalogue.texts`."""
    if spec.data.on_the_hub:
        return _hub(spec, folder).texts(split)
    return catalogue.texts(spec.data.id, split, folder=folder)


def present(spec: TaskSpec, split: Split, *, folder: Path | None = None) -> bool:
    """As `catalogue.present`."""
    if spec.data.on_the_hub:
        return _hub(spec, folder).present(split)
    return catalogue.present(spec.data.id, split, folder=folder)


def num_classes(spec: TaskSpec) -> int | None:
    """Classes of labelled texts; None where nobody knows."""
    return _pin(spec).num_classes if spec.data.on_the_hub else spec.data.num_classes


def _hub(spec: TaskSpec, folder: Path | None) -> HubData:
    return HubData(spec.data, _pin(spec, folder), catalogue.data_folder(folder))


def _pin(spec: TaskSpec, folder: Path | None = None) -> DataPin:
    pin = settle(spec, folder=folder).data.pin
    if pin is None:
        raise ValueError("a task whose data are on the Hub is pinned by settle")
    return pin


@cache
def _numbers(count: int, counted: bool) -> tuple[str, ...]:
    """Names of classes without one: the label itself, or where labels were counted, its place, which is no label."""
    return tuple(f"class {place}" if counted else str(place) for place in range(count))
