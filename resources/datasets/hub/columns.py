"""What a data set's columns are, and which of them are examples, labels and users: as told, or where it is plain."""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from federation.hub_data import LONGEST_NAME, MOST_COLUMNS, ColumnsSpec
from federation.spec import TaskSpec
from resources.datasets.hub.files import unreadable
from resources.datasets.hub.listing import Listing
from resources.models.card import Unbuildable

if TYPE_CHECKING:
    import pyarrow

Kind = Literal["image", "text", "chat", "integer", "number", "audio", "other"]
Holds = Literal["images", "numbers", "texts"]
_LABELS = ("label", "labels", "target", "class")
_TEXTS = ("text", "sentence", "content", "messages")
_IMAGES = ("image", "img")
_IDENTIFIERS = ("id", "idx", "index", "unnamed: 0", "__index_level_0__")
_SHOWN = 40
_NAME = 60
_NUMBERS = ("integer", "number")
_LABEL_KINDS = ("integer", "text")


@dataclass(frozen=True)
class Column:
    """One column as the file has it; `names` of classes, where the data set's author has given them."""

    name: str
    kind: Kind
    type: str
    names: tuple[str, ...] | None = None


Columns = dict[str, Column]


def columns_of(path: Path, found: Listing, config: str) -> Columns:
    """The columns of a parquet file, with what its metadata or the repository's card says of them.

    Raises:
        Refused: BAD_DATA where it is no parquet file.
    """
    import pyarrow
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from error
    said = {**_by_card(found.card, config), **_by_schema(schema)}
    every = collections.Counter(schema.names)
    return {field.name: _column(field, said.get(field.name)) for field in schema if _plain(field.name, every)}


def _plain(name: str, every: Mapping[str, int]) -> bool:
    """Whether a task can name the column: what control characters hide, and what two columns are called, nobody can."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and every[name] == 1


def columns_by_card(info: Mapping[str, Any]) -> Columns:
    """The columns that an entry of a card's `dataset_info` states; those of a name or type that is no text are left
    out, and so is everything from a card that lists too many to be believed."""
    features = info.get("features")
    if not isinstance(features, list) or len(features) > MOST_COLUMNS:
        return {}
    found = [(each["name"], each.get("dtype")) for each in features if _named(each)]
    return {name: _by_dtype(name, dtype) for name, dtype in found if 0 < len(name) <= _NAME and name.isprintable()}


def _by_dtype(name: str, dtype: Any) -> Column:
    feature, word = _feature(dtype), dtype if isinstance(dtype, str) else ""
    if feature["_type"] == "ClassLabel":
        return Column(name, "integer", "class label", _names(feature["names"]) or ())
    kinds: dict[str, Kind] = {
        "image": "image",
        "audio": "audio",
        "string": "text",
        "large_string": "text",
        "bool": "integer",
    }
    number: Kind = "integer" if "int" in word else "number" if word.startswith("float") else "other"
    return Column(name, kinds.get(word, number), word[:_NAME] if word.isalnum() else "nested")


def _column(field: pyarrow.Field, feature: Any) -> Column:
    names = None
    if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel":
        names = _names(feature.get("names"))
    return Column(field.name, _kind(field, feature), str(field.type)[:60], names)


def _kind(field: pyarrow.Field, feature: Any) -> Kind:
    import pyarrow.types as of

    told = feature.get("_type") if isinstance(feature, Mapping) else None
    type_ = field.type.value_type if of.is_dictionary(field.type) else field.type
    binary = of.is_binary(type_) or of.is_large_binary(type_)
    turns = type_.value_type if of.is_list(type_) or of.is_large_list(type_) else None
    fits: dict[Kind, bool] = {
        "audio": told == "Audio" or field.name == "audio",
        "image": "bytes" in _fields(type_) or (binary and (told == "Image" or field.name in _IMAGES)),
        "text": of.is_string(type_) or of.is_large_string(type_),
        "integer": of.is_integer(type_) or of.is_boolean(type_),
        "number": of.is_floating(type_),
        "chat": _fields(turns) == {"role", "content"},
    }
    return next((kind for kind, fit in fits.items() if fit), "other")


def _fields(type_: pyarrow.DataType | None) -> set[str]:
    """Of a struct; none of anything else."""
    import pyarrow.types as of

    return {each.name for each in type_} if type_ is not None and of.is_struct(type_) else set()


def _by_schema(schema: pyarrow.Schema) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _by_card(card: Mapping[str, Any], config: str) -> dict[str, Any]:
    """The card's `dataset_info`, in the form of the files' own metadata."""
    infos = card.get("dataset_info")
    for info in infos if isinstance(infos, list) else [infos]:
        if not isinstance(info, dict) or not isinstance(info.get("features"), list):
            continue
        if info.get("config_name", "default") not in (config, "default"):
            continue
        return {each["name"]: _feature(each.get("dtype")) for each in info["features"] if _named(each)}
    return {}


def _named(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("name"), str)


def _feature(dtype: Any) -> dict[str, Any]:
    if isinstance(dtype, dict) and isinstance(label := dtype.get("class_label"), dict):
        return {"_type": "ClassLabel", "names": label.get("names")}
    return {"_type": {"image": "Image", "audio": "Audio"}.get(str(dtype), "Value")}


def _names(names: Any) -> tuple[str, ...] | None:
    """A list of names, or a card's mapping of numbers to names."""
    if isinstance(names, dict):
        names = [names.get(str(place), names.get(place)) for place in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


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
