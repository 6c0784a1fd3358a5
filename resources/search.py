"""Models and data sets for a purpose in a few words: the catalogue's first, then the Hub's, ranked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from federation.errors import Refused
from resources import hub as hub_search
from resources.datasets import catalogue as datasets
from resources.datasets.card import DatasetCard, ImageCard, TextCard
from resources.hub import HubAnswer, HubEntry
from resources.models import catalogue as models
from resources.models.card import ModelCard

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_ADAPTABLE = {"transformers", "safetensors", "text-generation"}
"""Tags of models whose adapters can be trained."""


@dataclass(frozen=True)
class Hit:
    """One thing found.

    Attributes:
        size: `421,642 parameters` or `60,000 + 10,000 examples`, in words; None where the source does not say.
        parameters: of a model, on the data asked for.
        trainable: whether a task can name it; `reason` says why or why not.
        score: 0..1, higher is better; comparable within one answer.
    """

    id: str
    title: str
    source: Literal["catalogue", "hub"]
    licence: str | None
    size: str | None
    parameters: int | None
    trainable: bool
    reason: str
    score: float


@dataclass(frozen=True)
class Found:
    """Hits, best first, and why the Hub is missing from them if it is."""

    hits: tuple[Hit, ...]
    hub_unavailable: str | None = None


def search_models(
    query: str, *, data_id: str | None = None, hub: bool = False, limit: int = 10, api: HfApi | None = None
) -> Found:
    """Models for `query`; those that fit data set `data_id`, if one is named, come first.

    Raises:
        Refused: NOT_FOUND for an unknown `data_id`.
    """
    data = datasets.card(data_id) if data_id is not None else None
    hits = [_model_hit(card, query, data) for card in models.models()]
    answer = hub_search.search_hub_models(query, limit, api=api) if hub else HubAnswer(())
    hits += [_hub_model(entry, query) for entry in answer.entries]
    return Found(_ranked(hits, limit), answer.unavailable)


def search_datasets(query: str, *, hub: bool = False, limit: int = 10, api: HfApi | None = None) -> Found:
    """Data sets for `query`."""
    hits = [_dataset_hit(card, query) for card in datasets.datasets()]
    answer = hub_search.search_hub_datasets(query, limit, api=api) if hub else HubAnswer(())
    known = {card.hub_id for card in datasets.datasets()}
    hits += [_hub_dataset(entry, query) for entry in answer.entries if entry.id not in known]
    return Found(_ranked(hits, limit), answer.unavailable)


def _ranked(hits: list[Hit], limit: int) -> tuple[Hit, ...]:
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.source, hit.parameters or 0, hit.id))[:limit])


def _model_hit(card: ModelCard, query: str, data: DatasetCard | None) -> Hit:
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
    words = _match(query, f"{card.id} {card.title}", f"{card.description} {card.paper or ''}")
    score = _score(words, trainable)
    return Hit(card.id, card.title, "catalogue", card.licence, size, parameters, trainable, reason, score)


def _dataset_hit(card: DatasetCard, query: str) -> Hit:
    size, about, more = f"{card.num_train:,} + {card.num_test:,} examples", "", ""
    if isinstance(card, ImageCard):
        about, more = f"{list(card.input_shape)}, {card.num_classes} classes", " ".join(card.class_names)
    if isinstance(card, TextCard):
        size = f"{card.num_train:,} + {card.num_test:,} texts"
        about, more = f"texts of {card.num_users:,} users, for language models hf:...", "language"
    reason = f"in the catalogue: {about}"
    words = _match(query, f"{card.id} {card.title}", f"{card.description} {more} {card.source}")
    return Hit(card.id, card.title, "catalogue", card.licence, size, None, True, reason, _score(words, True))


def _hub_model(entry: HubEntry, query: str) -> Hit:
    size = None if entry.parameters is None else f"{entry.parameters:,} parameters"
    if set(entry.tags) >= _ADAPTABLE:
        reason = f"on the Hub: model.id hf:{entry.id} trains adapters of it (LoRA)"
        return _hub_hit(entry, query, size, reason, trainable=not entry.gated)
    reason = "on the Hub, and neither in the catalogue nor a language model of transformers with safe weights"
    return _hub_hit(entry, query, size, reason)


def _hub_dataset(entry: HubEntry, query: str) -> Hit:
    size = None if entry.size is None else f"{entry.size} examples"
    reason = "on the Hub, not in the catalogue; each node can bring it as data.id `own`, images as NPZ, texts as JSONL"
    return _hub_hit(entry, query, size, reason)


def _hub_hit(entry: HubEntry, query: str, size: str | None, reason: str, *, trainable: bool = False) -> Hit:
    if entry.gated:
        reason += "; gated: its owner must let you in"
    score = _score(_match(query, entry.id, " ".join(entry.tags)), trainable)
    return Hit(entry.id, entry.id, "hub", entry.licence, size, entry.parameters, trainable, reason, score)


def _score(words: float, trainable: bool) -> float:
    return round(0.6 * words + 0.4 * trainable, 4)


def _match(query: str, name: str, text: str) -> float:
    """Share of the query's words that occur: whole in the name 1, in the text 0.6, as part of a word 0.3."""
    words = _words(query)
    if not words:
        return 0.0
    in_name, in_text, everything = _words(name), _words(text), f"{name} {text}".lower()

    def worth(word: str) -> float:
        if word in in_name:
            return 1.0
        if word in in_text:
            return 0.6
        return 0.3 if len(word) > 2 and word in everything else 0.0

    return sum(worth(word) for word in words) / len(words)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))
