"""Which tasks can be tried out on the page, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Way = Literal["draw", "picture", "write", "classify", "none"]

_DIGITS = frozenset({"digits", "mnist"})


@dataclass(frozen=True)
class Trial:
    """How a task's model can be asked.

    Attributes:
        way: `draw` a digit (or bring a picture), bring a `picture`, let it `write`, `classify` a text, or `none`.
        why: with `none`, the reason.
        shape: of an example, channels first; empty for texts.
        classes: names by label; empty where they are only numbered.
        digits: whether a drawing is to be prepared as digits are.
    """

    task_id: str
    name: str
    version: int
    way: Way
    why: str = ""
    shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    digits: bool = False

    def label(self, index: int) -> str:
        """A class for people."""
        return self.classes[index] if index < len(self.classes) else str(index)


def trial(task: Mapping[str, Any], spec: Mapping[str, Any], cards: Mapping[str, Mapping[str, Any]]) -> Trial:
    """How this task can be tried.

    Args:
        task: as list_tasks or get_task tells it.
        spec: the task's.
        cards: of the catalogue's data sets, by id.
    """
    model, data = spec["model"], spec["data"]
    id, name, version = str(task["task_id"]), str(task["name"]), int(task["version"])
    if str(model["id"]).startswith("hf:"):
        return Trial(id, name, version, "classify" if model.get("task") == "sequence_classification" else "write")
    card = cards.get(str(data["id"]), {})
    pin = data.get("pin") or {}
    classes = tuple(map(str, card.get("class_names") or pin.get("class_names") or ()))
    shape = _shape(data, card)
    if len(shape) != 3 or shape[0] not in (1, 3):
        why = "its inputs are numbers that no drawing or picture stands for"
        why = why if shape else "how its examples look is not known before it has been trained on"
        return Trial(id, name, version, "none", f"{why}; the tool predict takes them")
    square = shape[0] == 1 and shape[1] == shape[2]
    digits = data["id"] in _DIGITS or (data["id"] not in cards and square)
    return Trial(id, name, version, "draw" if square else "picture", "", shape, classes, digits)


def _shape(data: Mapping[str, Any], card: Mapping[str, Any]) -> tuple[int, ...]:
    """Of an example: the card's, the task's own, or what the pin of a data set on the Hub says."""
    pin = data.get("pin") or {}
    stated = card.get("input_shape") or data.get("input_shape") or pin.get("input_shape") or ()
    return tuple(map(int, stated))
