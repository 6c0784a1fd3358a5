"""Data sets for a purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from federation.hub_data import HF, ColumnsSpec
from federation.spec import TaskSpec, parse_spec
from resources.datasets import catalogue
from resources.datasets.card import DatasetCard, ImageCard, TextCard
from resources.datasets.hub.columns import Columns, columns_by_card, settled
from resources.datasets.hub.files import MOST_BYTES
from resources.hub.asking import HubAnswer
from resources.hub.entries import HubEntry
from resources.hub.question import understood
from resources.hub.searching import search_hub_datasets
from resources.models.card import Unbuildable
from resources.search.hits import Found, Hit, match, of_hub, ranked, score

_MOST_LOCAL = 200
_READ = {"image", "text", "tabular", "timeseries"}
_CONFIG_LENGTH = 100

_LONG = 300
_TEXTS = {"text", "sentence", "content", "messages", "prompt"}
_JUDGES = {"id": "hf:any", "task": "sequence_classification"}
_TASKS: dict[str, TaskSpec] = {
    what: parse_spec({"name": "a search", "model": model, "data": {"id": "hf:any"}})
    for what, model in (("judged", _JUDGES), ("written", {"id": "hf:any"}), ("examples", {"id": "mlp"}))
}
_FOR = {
    "judged": "language models that classify (model.task sequence_classification)",
    "written": "language models hf:...",
    "examples": "models of the catalogue",
}


def search_datasets(query: str, *, hub: bool = False, limit: int = 10, folder: Path | None = None) -> Found:
    """Data sets for `query`.

    Args:
        hub: ask the Hugging Face Hub too; only the query's words are sent.
        folder: the data folder; default: the environment's POTLUCK_DATA.
    """
    known = {card.hub_id for card in catalogue.datasets()}
    hits = [_of_catalogue(card, query) for card in catalogue.datasets()]
    hits += [_of_folder(name, query) for name in _local(catalogue.data_folder(folder)) if name not in known]
    answer = search_hub_datasets(understood(query), limit) if hub else HubAnswer(())
    known |= {hit.title for hit in hits}
    hits += [_on_hub(entry, query) for entry in answer.entries if entry.id not in known]
    return Found(ranked(hits, limit), answer.unavailable)


def _of_catalogue(card: DatasetCard, query: str) -> Hit:
    size, about, more = f"{card.num_train:,} + {card.num_test:,} examples", "", ""
    if isinstance(card, ImageCard):
        about, more = f"{list(card.input_shape)}, {card.num_classes} classes", " ".join(card.class_names)
    if isinstance(card, TextCard):
        size = f"{card.num_train:,} + {card.num_test:,} texts"
        about, more = f"texts of {card.num_users:,} users, for language models hf:...", "language"
    reason = f"in the catalogue: {about}"
    words = match(query, f"{card.id} {card.title}", f"{card.description} {more} {card.source}")
    return Hit(card.id, card.title, "catalogue", card.licence, size, None, True, reason, score(words, True))


def _local(folder: Path | None) -> Iterator[str]:
    """Repositories below `<folder>/hub` that hold a parquet file."""
    if folder is None or not (hub := folder / "hub").is_dir():
        return
    places = [
        path for path in sorted(hub.glob("*/*")) if path.is_dir() and path.resolve().is_relative_to(hub.resolve())
    ]
    for path in places[:_MOST_LOCAL]:
        if next(path.rglob("*.parquet"), None) is not None:
            yield path.relative_to(hub).as_posix()


def _of_folder(name: str, query: str) -> Hit:
    how = f"train on it: data {json.dumps({'id': HF + name})}; validate_task reads its columns"
    value = score(match(query, name, ""), True)
    return Hit(HF + name, name, "folder", None, None, None, True, f"in the data folder: {how}", value)


def _on_hub(entry: HubEntry, query: str) -> Hit:
    size = None if entry.size is None else f"{entry.size} examples"
    return of_hub(entry, query, size, _trainable(entry))


def _trainable(entry: HubEntry) -> tuple[bool, str]:
    """Whether a task can name it, and the section `data` of the spec; or the first thing that prevents it."""
    if (obstacle := _obstacle(entry)) is not None:
        return False, f"cannot be trained on here: {obstacle}; each node can bring it as data.id `own`"
    config, info = _info(entry.card)
    data: dict[str, object] = {"id": HF + entry.id}
    if config is not None:
        data["config"] = config
    columns = columns_by_card(info)
    if not columns:
        return True, f"train on it: data {json.dumps(data)}; validate_task reads its columns, which its card leaves out"
    found, unclear = _plain(columns)
    if found is None:
        return False, f"its columns must be named in data.columns: {unclear[:_LONG]}"
    what, named = found
    data["columns"] = named.model_dump(mode="json", exclude_none=True)
    return True, f"for {_FOR[what]}: data {json.dumps(data)[:_LONG]}"


def _plain(columns: Columns) -> tuple[tuple[str, ColumnsSpec] | None, str]:
    """For which models the columns leave no doubt, and what is what; else why they do."""
    unclear = ""
    kinds = {each.kind for each in columns.values()}
    for what, spec in _TASKS.items():
        try:
            _, named = settled(spec, columns)
        except Unbuildable as refused:
            unclear = refused.problem.removeprefix("data.columns: ").removesuffix(".")
            continue
        # A column of words beside numbers is as likely their label as a text to learn to write.
        if (what == "examples" and ("image" in kinds or not _TEXTS & columns.keys())) or named.x in _TEXTS:
            return (what, named), ""
    return None, unclear


def _obstacle(entry: HubEntry) -> str | None:
    modalities = set(entry.tagged("modality:"))
    size = _info(entry.card)[1].get("download_size")
    if entry.gated:
        return "it is gated: its owner must let each node in"
    if modalities and not modalities & _READ:
        return f"it holds {', '.join(sorted(modalities))}, which no model here takes"
    if not entry.tagged("format:"):
        return "the Hub names no files of it that could be read as parquet (a loading script is never run)"
    if isinstance(size, int) and size > MOST_BYTES:
        return f"it is {size / 2**30:.1f} GiB, more than the {MOST_BYTES >> 30} GiB that are taken"
    return None


def _info(card: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """The configuration to name, if there are several, and what the card says of it."""
    said = card.get("dataset_info")
    infos = [each for each in (said if isinstance(said, list) else [said]) if isinstance(each, dict)]
    names = [_config(each) for each in infos]
    if not infos:
        return None, {}
    place = names.index("default") if "default" in names else 0
    return (names[place] if len(infos) > 1 and names[place] != "default" else None), infos[place]


def _config(info: Mapping[str, Any]) -> str:
    name = info.get("config_name", "default")
    plain = isinstance(name, str) and len(name) <= _CONFIG_LENGTH and name.replace("-", "").isidentifier()
    return name if plain else "default"
