"""What the Hub says of a repository, as far as it can be believed: its text is a stranger's, bounded and without
control characters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,39}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:<>+/-]{0,63}")
_SIZE = re.compile(r"n<1K|n>1T|\d+[KMB]<n<\d+[KMBT]")
_MOST_TAGS = 100
_MOST = 10**15


@dataclass(frozen=True)
class HubEntry:
    """A repository on the Hub.

    Attributes:
        task: of a model, its pipeline tag.
        parameters: of a model, where its safetensors state them.
        architecture: of a model, its `model_type`.
        size: of a data set, its category, e.g. 1K<n<10K.
        card: of a data set, its card's front matter.
    """

    id: str
    downloads: int = 0
    likes: int = 0
    gated: bool = False
    licence: str | None = None
    tags: tuple[str, ...] = ()
    task: str | None = None
    parameters: int | None = None
    architecture: str | None = None
    size: str | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def tagged(self, prefix: str) -> tuple[str, ...]:
        """What the tags say after `prefix`."""
        return tuple(tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix))


def entry(raw: Any) -> HubEntry | None:
    """The repository; None where what the Hub sent is none, or its name could not be one."""
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), str) or not _ID.fullmatch(raw["id"]):
        return None
    said = raw.get("tags")
    every = [tag for tag in (said if isinstance(said, list) else [])[:_MOST_TAGS] if isinstance(tag, str)]
    tags = tuple(tag for tag in every if _TAG.fullmatch(tag))
    config, weights, card = (raw.get(name) for name in ("config", "safetensors", "cardData"))
    licence = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)
    return HubEntry(
        id=raw["id"],
        downloads=_number(raw.get("downloads")) or 0,
        likes=_number(raw.get("likes")) or 0,
        gated=bool(raw.get("gated")),
        licence=licence if licence is not None and _LICENCE.fullmatch(licence) else None,
        tags=tags,
        task=_word(raw.get("pipeline_tag")),
        parameters=_number(weights.get("total")) if isinstance(weights, dict) else None,
        architecture=_word(config.get("model_type")) if isinstance(config, dict) else None,
        size=next((size for tag in tags if _SIZE.fullmatch(size := tag.removeprefix("size_categories:"))), None),
        card=card if isinstance(card, dict) else {},
    )


def _number(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST
    return value if whole else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and _TAG.fullmatch(value) else None
