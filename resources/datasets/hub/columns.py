"""What a data set's columns are, as its files and its card say."""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from federation.hub_data import LONGEST_NAME, MOST_COLUMNS
from resources.datasets.hub.listing import Listing
from resources.datasets.hub.reading import unreadable

if TYPE_CHECKING:
    import pyarrow

Kind = Literal["image", "text", "chat", "integer", "number", "audio", "other"]
_IMAGES = ("image", "img")
_NAME = 60


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
    except (OSError, ValueError, pyarrow.ArrowException) as error:
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
    type_ = _of_values(field.type)
    turns = _fields(type_.value_type) if of.is_list(type_) or of.is_large_list(type_) else {}
    held = _fields(type_).get("bytes")
    fits: dict[Kind, bool] = {
        "audio": told == "Audio" or field.name == "audio",
        "image": (held is not None and _is_bytes(held))
        or (_is_bytes(type_) and (told == "Image" or field.name in _IMAGES)),
        "text": _is_text(type_),
        "integer": of.is_integer(type_) or of.is_boolean(type_),
        "number": of.is_floating(type_),
        "chat": turns.keys() == {"role", "content"} and all(map(_is_text, turns.values())),
    }
    return next((kind for kind, fit in fits.items() if fit), "other")


def _fields(type_: pyarrow.DataType) -> dict[str, pyarrow.DataType]:
    """Of a struct; none of anything else."""
    import pyarrow.types as of

    return {each.name: _of_values(each.type) for each in type_} if of.is_struct(type_) else {}


def _of_values(type_: pyarrow.DataType) -> pyarrow.DataType:
    """What a dictionary's values are; of anything else, itself."""
    import pyarrow.types as of

    return type_.value_type if of.is_dictionary(type_) else type_


def _is_bytes(type_: pyarrow.DataType) -> bool:
    """Also where every image of the file lies beside it, and the cells are empty."""
    import pyarrow.types as of

    return bool(of.is_binary(type_) or of.is_large_binary(type_) or of.is_null(type_))


def _is_text(type_: pyarrow.DataType) -> bool:
    import pyarrow.types as of

    return bool(of.is_string(type_) or of.is_large_string(type_))


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
