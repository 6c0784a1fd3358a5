"""Finding models and data sets on the Hugging Face Hub. A Hub out of reach is an answer, not an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, HfApi, ModelInfo


@dataclass(frozen=True)
class HubEntry:
    """A repository on the Hub; `parameters` only for models that state them, `size` only for data sets (a category)."""

    id: str
    downloads: int
    likes: int
    gated: bool
    licence: str | None
    tags: tuple[str, ...]
    parameters: int | None = None
    size: str | None = None


@dataclass(frozen=True)
class HubAnswer:
    """What the Hub knows, most downloaded first; or why it could not be asked."""

    entries: tuple[HubEntry, ...]
    unavailable: str | None = None


def search_hub_models(query: str, limit: int = 10, *, api: HfApi | None = None) -> HubAnswer:
    """Models with safetensors weights whose name contains `query`. Never raises: see `HubAnswer.unavailable`."""
    try:
        found = (api or _anonymous()).list_models(
            search=query or None,
            filter="safetensors",
            sort="downloads",
            limit=limit,
            expand=["safetensors", "downloads", "likes", "gated", "tags"],
        )
        return HubAnswer(tuple(_model(info) for info in found))
    except Exception as error:  # the client raises its own errors, its HTTP library's and the system's
        return HubAnswer((), _reason(error))


def search_hub_datasets(query: str, limit: int = 10, *, api: HfApi | None = None) -> HubAnswer:
    """Data sets whose name contains `query`. Never raises: see `HubAnswer.unavailable`."""
    try:
        found = (api or _anonymous()).list_datasets(
            search=query or None, sort="downloads", limit=limit, expand=["downloads", "likes", "gated", "tags"]
        )
        return HubAnswer(tuple(_dataset(info) for info in found))
    except Exception as error:
        return HubAnswer((), _reason(error))


def _anonymous() -> HfApi:
    from huggingface_hub import HfApi, constants, get_session

    # An unreachable Hub is known at once from one question; the client's lists would retry for half a minute.
    get_session().head(constants.ENDPOINT, timeout=5)
    return HfApi(token=False)  # what is shown to anyone who asks must not depend on the server's own account


def _model(info: ModelInfo) -> HubEntry:
    return HubEntry(
        id=info.id,
        downloads=info.downloads or 0,
        likes=info.likes or 0,
        gated=bool(info.gated),
        licence=_tagged(info.tags, "license:"),
        tags=tuple(info.tags or ()),
        parameters=info.safetensors.total if info.safetensors else None,
    )


def _dataset(info: DatasetInfo) -> HubEntry:
    return HubEntry(
        id=info.id,
        downloads=info.downloads or 0,
        likes=info.likes or 0,
        gated=bool(info.gated),
        licence=_tagged(info.tags, "license:"),
        tags=tuple(info.tags or ()),
        size=_tagged(info.tags, "size_categories:"),
    )


def _tagged(tags: Iterable[str] | None, prefix: str) -> str | None:
    return next((tag.removeprefix(prefix) for tag in tags or () if tag.startswith(prefix)), None)


def _reason(error: Exception) -> str:
    return f"the Hugging Face Hub could not be asked: {type(error).__name__}"
