"""What a page is told last when it looks elsewhere: Gradio repeats it, and by then there may be newer things to see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from mcp import Client

from dashboard.desk import Desk
from dashboard.live import Live
from dashboard.principal import Principal
from dashboard.simulate.steps import Steps, place_of
from dashboard.watch import tab
from dashboard.watch.reading import Choice, Picture

pytestmark = pytest.mark.anyio
PAGE: Any = SimpleNamespace(request=None, client=None, session_hash="page")


class Reads:
    """A line on which everything may be read."""

    async def list_tools(self, **_: Any) -> Any:
        return SimpleNamespace(tools=[SimpleNamespace(name="list_tasks")], next_cursor=None)


@asynccontextmanager
async def connect(principal: Principal) -> AsyncGenerator[Client]:
    if principal.watcher:
        raise PermissionError("no stream here")
    yield cast(Client, Reads())


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    live = Live(connect)
    yield live
    await live.close()


class Counting(Steps):
    """Sees another number each time."""

    reads = 0

    async def seen(self, *_: Any) -> list[Any]:
        self.reads += 1
        return [str(self.reads)] * 8


async def test_the_last_that_a_page_hears_of_runs_it_leaves_changes_nothing(live: Live) -> None:
    following = Counting(Desk(connect), live).following(PAGE, None, ["task-a"], 0.9, None)
    assert await anext(following) == ["1"] * 8
    live.leave(place_of(PAGE))
    async with asyncio.timeout(5):
        assert [told async for told in following] == [[gr.skip()] * 8]


async def test_a_task_that_was_left_while_it_was_read_is_shown_no_more(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def picture(*_: Any) -> Picture:
        live.leave("page")  # another task was chosen meanwhile
        return Picture(frozenset())

    monkeypatch.setattr(tab, "picture", picture)
    async with asyncio.timeout(5):
        seen = [each async for each in tab.follow(Desk(connect), live, Principal(), "page", Choice("task-a"))]
    assert seen == []
