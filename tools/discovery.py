"""Finding models and data sets."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, Field

from federation.hub_data import HF
from resources import search
from tools.arguments import Limit, Query
from tools.context import Ctx, potluck, take_hub_question

Hub = Annotated[bool, Field(description="Also search the Hugging Face Hub.")]


class Found(BaseModel):
    """Search results, best first."""

    hits: list[dict[str, Any]] = Field(
        description="id, title, source, licence, size, parameters, trainable here or not, reason (how, or what "
        "prevents it), score"
    )
    hub_unavailable: str | None = Field(description="why the Hub could not be asked")


async def search_models(
    ctx: Ctx,
    query: Query = "",
    data_id: Annotated[str | None, Field(max_length=200, description="Rank for this data set.")] = None,
    hub: Hub = False,
    limit: Limit = 10,
) -> Found:
    """Search models in the catalogue, the models folder and on the Hugging Face Hub, ranked, with size and licence,
    and whether and how each can be trained here."""
    _take(ctx, hub or (data_id or "").startswith(HF))
    state = potluck(ctx)
    memory = [each.get("memory_bytes") or 0 for each in await state.federation.views.capabilities()]
    room, models = max(memory, default=0) or None, state.workload.models
    return _found(
        await asyncio.to_thread(
            search.search_models, query, data_id=data_id, hub=hub, limit=limit, folder=models, memory_bytes=room
        )
    )


async def search_datasets(ctx: Ctx, query: Query = "", hub: Hub = False, limit: Limit = 10) -> Found:
    """Search data sets in the catalogue, the data folder and on the Hugging Face Hub, ranked, with size and
    licence, and whether and how each can be trained on here."""
    _take(ctx, hub)
    folder = potluck(ctx).workload.data_folder
    return _found(await asyncio.to_thread(search.search_datasets, query, hub=hub, limit=limit, folder=folder))


def _take(ctx: Ctx, hub: bool) -> None:
    if hub:
        take_hub_question(ctx)


def _found(found: search.Found) -> Found:
    return Found(hits=[asdict(hit) for hit in found.hits], hub_unavailable=found.hub_unavailable)
