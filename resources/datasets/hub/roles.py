"""Which columns are examples, labels and users: as the task says, and where it says nothing, as far as it is plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NoReturn

from federation.hub_data import MOST_COLUMNS, ColumnsSpec
from federation.spec import TaskSpec
from resources.datasets.hub.columns import Columns
from resources.models.card import Unbuildable

Holds = Literal["images", "numbers", "texts"]
_LABELS = ("label", "labels", "target", "class")
_TEXTS = ("text", "sentence", "content", "messages")
_IDENTIFIERS = ("id", "idx", "index", "unnamed: 0", "__index_level_0__")
_NUMBERS = ("integer", "number")
_LABEL_KINDS = ("integer", "text")
_SHOWN = 40


def settled(spec: TaskSpec, columns: Columns) -> tuple[Holds, ColumnsSpec]:
    """What is what: as the task says, and where it says nothing, as the columns leave no doubt.

    Raises:
        Refused: `Unbuildable` for data.columns, listing the columns and their types.
    """
    told = spec.data.columns or ColumnsSpec()
    listed = _listed(told.x)
    for name in (*listed, told.y, told.user):
        if name is not None and name not in columns:
            _unclear(columns, f"there is no column {name!r}")
    if len({*listed, told.y, told.user} - {None}) < len(listed) + (told.y is not None) + (told.user is not None):
        _unclear(columns, "a column is named twice")
    if spec.model.pretrained:
        return "texts", _of_texts(spec, told, columns)
    return _of_examples(told, columns)


def _of_texts(spec: TaskSpec, told: ColumnsSpec, columns: Columns) -> ColumnsSpec:
    x, y = told.x, told.y
    if x is None and y is None and not spec.model.classifies and {"prompt", "completion"} <= columns.keys():
        x, y = "prompt", "completion"
    if x is None:
        kinds = ("text",) if spec.model.classifies else ("text", "chat")
        x = _the(columns, kinds, _TEXTS, [y, told.user], "texts")
    if not isinstance(x, str) or columns[x].kind not in ("text", "chat"):
        _unclear(columns, "x of a language model is one column of texts, or of turns with role and content")
    if spec.model.classifies:
        y = y or _label(columns, [x, told.user])
        _check_label(columns, y)
    elif y is not None and (columns[y].kind != "text" or columns[x].kind != "text"):
        _unclear(columns, "x and y of a model that writes are prompts and completions, both texts")
    return ColumnsSpec(x=x, y=y, user=told.user)


def _of_examples(told: ColumnsSpec, columns: Columns) -> tuple[Holds, ColumnsSpec]:
    y = told.y or _label(columns, [*_listed(told.x), told.user])
    _check_label(columns, y)
    x = told.x
    if x is None:
        images = [each.name for each in columns.values() if each.kind == "image"]
        others = [each for each in columns.values() if each.name not in (y, told.user)]
        numbers = [each.name for each in others if each.kind in _NUMBERS and each.name.lower() not in _IDENTIFIERS]
        if len(images) > 1 or not (images or numbers):
            _unclear(columns, "which columns are the examples is not plain")
        if not images and len(numbers) > MOST_COLUMNS:
            _unclear(columns, f"there are {len(numbers):,} columns of numbers, more than {MOST_COLUMNS:,}")
        x = images[0] if images else tuple(numbers)
    if isinstance(x, str) and columns[x].kind == "image":
        return "images", ColumnsSpec(x=x, y=y, user=told.user)
    x = _listed(x)
    if wrong := next((name for name in x if columns[name].kind not in _NUMBERS), None):
        what = {"text": "texts, which language models hf:... take", "audio": "audio, which no model here takes"}
        _unclear(columns, f"{wrong} holds {what.get(columns[wrong].kind, 'neither images nor numbers')}")
    return "numbers", ColumnsSpec(x=x, y=y, user=told.user)


def _listed(x: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (x,) if isinstance(x, str) else x or ()


def _label(columns: Columns, taken: Sequence[str | None]) -> str:
    given = [each.name for each in columns.values() if each.names is not None and each.name not in taken]
    usual = [name for name in _LABELS if name in columns and name not in taken]
    if len(given) != 1 and len(usual) != 1:
        _unclear(columns, "which column is the label is not plain")
    return given[0] if len(given) == 1 else usual[0]


def _check_label(columns: Columns, y: str) -> None:
    if columns[y].kind not in _LABEL_KINDS:
        _unclear(columns, f"{y} holds {columns[y].type}, and classes are whole numbers or words")


def _the(columns: Columns, kinds: Sequence[str], usual: Sequence[str], taken: Sequence[str | None], what: str) -> str:
    of_kind = [each.name for each in columns.values() if each.kind in kinds and each.name not in taken]
    by_name = [name for name in usual if name in of_kind]
    found = by_name[:1] if by_name else of_kind
    if len(found) != 1:
        _unclear(columns, f"which column holds the {what} is not plain")
    return found[0]


def _unclear(columns: Columns, problem: str) -> NoReturn:
    every = [f"{each.name[:60]} ({each.type})" for each in columns.values()]
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    has = ", ".join(every[:_SHOWN]) + more or "none"
    mend = "say it: data.columns {x: <images, texts or [numbers]>, y: <label>}"
    raise Unbuildable("data.columns", f"{problem}; the columns are {has}", mend)
