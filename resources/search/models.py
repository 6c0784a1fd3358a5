"""Models for a purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from federation.errors import Refused
from federation.hub_data import HF
from federation.spec import TaskSpec, parse_spec
from resources.datasets import catalogue as datasets
from resources.datasets import named
from resources.datasets.card import DatasetCard, ImageCard, TextCard
from resources.hub.asking import HubAnswer
from resources.hub.entries import HubEntry
from resources.hub.question import understood
from resources.hub.searching import search_hub_models
from resources.models import catalogue as models
from resources.models.card import ModelCard, Unbuildable
from resources.search.hits import Found, Hit, match, of_hub, ranked, score

_WRITES, _JUDGES = "text-generation", "text-classification"
_SHORT = 64
_MOST_LOCAL, _MOST_CONFIG_BYTES, _DEPTH = 200, 1 << 20, 3


def search_models(
    query: str,
    *,
    data_id: str | None = None,
    hub: bool = False,
    limit: int = 10,
    folder: Path | None = None,
    memory_bytes: int | None = None,
) -> Found:
    """Models for `query`; those that fit data set `data_id`, if one is named, come first.

    Args:
        data_id: of the catalogue, or `hf:` and a repository.
        hub: ask the Hugging Face Hub too; only the query's words are sent.
        folder: the models folder.
        memory_bytes: of the roomiest node that has shaken hands; None: nobody knows.

    Raises:
        Refused: NOT_FOUND for an unknown `data_id`; for one on the Hub as `named.settle`.
    """
    data = _card(data_id)
    hits = [_of_catalogue(card, query, data) for card in models.models()]
    hits += [_of_folder(name, architecture, query, data) for name, architecture in _local(folder)]
    answer = search_hub_models(understood(query), limit) if hub else HubAnswer(())
    hits += [_on_hub(entry, query, memory_bytes, data) for entry in answer.entries]
    return Found(ranked(hits, limit), answer.unavailable)


def _card(data_id: str | None) -> DatasetCard | None:
    if data_id is None or not data_id.startswith(HF):
        return None if data_id is None else datasets.card(data_id)
    try:
        return named.image_card(named.settle(_task(data_id, "mlp"), fetch=False))
    except Unbuildable as refused:
        if refused.field != "data.columns":
            raise
    return named.text_card(named.settle(_task(data_id, "hf:any"), fetch=False))


def _task(data_id: str, model_id: str) -> TaskSpec:
    return parse_spec({"name": "a search", "model": {"id": model_id}, "data": {"id": data_id}})


def _of_catalogue(card: ModelCard, query: str, data: DatasetCard | None) -> Hit:
    parameters, trainable, reason = None, True, "in the catalogue"
    if isinstance(data, TextCard):
        trainable, reason = False, f"takes numbers, and {data.id} holds texts, for language models hf:..."
    if isinstance(data, ImageCard):
        try:
            parameters = models.parameter_count(card.id, input_shape=data.input_shape, num_classes=data.num_classes)
            reason = f"takes {data.id}: {list(data.input_shape)}, {data.num_classes} classes"
        except Refused as refused:
            trainable, reason = False, refused.problem
    size = None if parameters is None else f"{parameters:,} parameters"
    words = match(query, f"{card.id} {card.title}", f"{card.description} {card.paper or ''}")
    value = score(words, trainable)
    return Hit(card.id, card.title, "catalogue", card.licence, size, parameters, trainable, reason, value)


def _local(folder: Path | None) -> Iterator[tuple[str, str | None]]:
    """Names of the base models below the models folder, and the kind that each says it is."""
    if folder is None or not folder.is_dir():
        return
    places = sorted(path for depth in range(1, _DEPTH + 1) for path in folder.glob("/".join("*" * depth)))
    found = [path for path in places if path.is_dir() and path.resolve().is_relative_to(folder.resolve())]
    bases = [path for path in found if (path / "config.json").is_file() or any(path.glob("*.gguf"))]
    for path in bases[:_MOST_LOCAL]:
        yield path.relative_to(folder).as_posix(), _model_type(path / "config.json")


def _model_type(config: Path) -> str | None:
    try:
        if config.stat().st_size > _MOST_CONFIG_BYTES:
            return None
        said = json.loads(config.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    found = said.get("model_type") if isinstance(said, dict) else None
    return found if isinstance(found, str) and found.isprintable() and len(found) < _SHORT else None


def _of_folder(name: str, architecture: str | None, query: str, data: DatasetCard | None) -> Hit:
    trainable, how = _fits(architecture, data)
    how = how or f"train adapters of it (LoRA): model {json.dumps({'id': HF + name})}"
    value = score(match(query, name, f"language model text generation {architecture or ''}"), trainable)
    return Hit(HF + name, name, "folder", None, None, None, trainable, f"in the models folder: {how}", value)


def _on_hub(entry: HubEntry, query: str, memory_bytes: int | None, data: DatasetCard | None) -> Hit:
    size = None if entry.parameters is None else f"{entry.parameters:,} parameters"
    return of_hub(entry, query, size, _trainable(entry, memory_bytes, data))


def _trainable(entry: HubEntry, memory_bytes: int | None, data: DatasetCard | None) -> tuple[bool, str]:
    """Whether its adapters can be trained, and the section `model` of the spec; or the first thing that prevents it."""
    model: dict[str, object] = {"id": HF + entry.id}
    if entry.task == _JUDGES:
        model["task"] = "sequence_classification"
    obstacle = _obstacle(entry)
    if obstacle is None:
        _, obstacle = _fits(entry.architecture, data)
    floats, halves = 4 * (entry.parameters or 0), 2 * (entry.parameters or 0)
    if obstacle is None and memory_bytes is not None and floats > memory_bytes:
        model["dtype"] = "bfloat16"
        if halves > memory_bytes:
            room = f"{memory_bytes / 2**30:.1f} GiB of the roomiest node"
            obstacle = f"its weights take {halves / 2**30:.1f} GiB in bfloat16, more than the {room}"
    if obstacle is not None:
        return False, f"cannot be trained here: {obstacle}"
    return True, f"train adapters of it (LoRA): model {json.dumps(model)}"


def _obstacle(entry: HubEntry) -> str | None:
    tags = set(entry.tags)
    safe, gguf = "safetensors" in tags, "gguf" in tags
    task = entry.task or "not stated"
    obstacles = {
        "it is gated: its owner must let each node in": entry.gated,
        "it brings code of its own, which is never run": "custom_code" in tags,
        "it has no safetensors weights; of a GGUF file, name the file as model.gguf": gguf and not safe,
        "it has no safetensors weights, and pickled ones are never loaded": not safe,
        "it is no model of transformers": "transformers" not in tags,
        f"its task is {task}, and language models write or classify texts here": task not in (_WRITES, _JUDGES),
    }
    return next((obstacle for obstacle, there in obstacles.items() if there), None)


def _fits(architecture: str | None, data: DatasetCard | None) -> tuple[bool, str | None]:
    if isinstance(data, ImageCard):
        return False, f"it takes texts, and {data.id} holds numbers"
    if architecture is not None and not _known(architecture):
        return False, f"transformers does not know its architecture {architecture} here"
    return True, None


@cache
def _known(architecture: str) -> bool:
    """True as well where transformers is not installed: then nobody here knows better."""
    try:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    except ImportError:
        return True
    return architecture in CONFIG_MAPPING_NAMES
