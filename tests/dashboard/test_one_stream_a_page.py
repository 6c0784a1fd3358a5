"""A page has one stream: it answers what the page asks for now, and says nothing when it ends, which Gradio repeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from mcp import Client

from dashboard.desk import Desk, Line, Refusal
from dashboard.live import Live
from dashboard.principal import Principal
from dashboard.simulate.steps import Steps, Wanted, place_of
from dashboard.watch import tab
from dashboard.watch.reading import Choice, Picture

pytestmark = pytest.mark.anyio
A, B = Choice("task-a"), Choice("task-b")
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

    def __init__(self, desk: Desk, live: Live) -> None:
        super().__init__(desk, live)
        self.wishes: list[Wanted] = []

    async def seen(self, wish: Wanted) -> list[Any]:
        self.wishes.append(wish)
        return [str(len(self.wishes))] * 8


@dataclass
class Readings:
    """What a page's readings come to, one after the other, and what happens during each."""

    during: list[Callable[[], None]]
    asked: list[Choice] = field(default_factory=list)

    async def __call__(self, _: Line, choice: Choice, tools: frozenset[str]) -> Picture:
        self.asked.append(choice)
        if self.during:
            self.during.pop(0)()
        return Picture(tools)


async def test_the_last_that_a_page_hears_of_runs_it_leaves_changes_nothing(live: Live) -> None:
    following = Counting(Desk(connect), live).following(PAGE, None, ["task-a"], 0.9, None)
    assert await anext(following) == ["1"] * 8
    live.leave(place_of(PAGE))
    async with asyncio.timeout(5):
        assert [told async for told in following] == [[gr.skip()] * 8]


async def test_a_page_that_asks_for_other_runs_is_answered_by_the_stream_that_it_has(live: Live) -> None:
    steps = Counting(Desk(connect), live)
    stream = steps.following(PAGE, None, ["task-a"], 0.9, None)
    assert await anext(stream) == ["1"] * 8
    async with asyncio.timeout(5):
        assert [told async for told in steps.following(PAGE, None, ["task-b"], 0.9, None)] == [[gr.skip()] * 8]
        assert await anext(stream) == ["2"] * 8
    assert [wish.picked for wish in steps.wishes] == [("task-a",), ("task-b",)]
    await stream.aclose()


async def test_a_task_that_was_left_while_it_was_read_is_shown_no_more(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tab, "picture", Readings([lambda: live.leave("page")]))
    async with asyncio.timeout(5):
        assert [each async for each in tab.follow(Desk(connect), live, tab.Wish(Principal(), A), "page")] == []


async def test_what_a_page_asks_for_meanwhile_is_all_that_it_is_shown(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody signs in while the page still reads as nobody."""
    signed_in = tab.Wish(Principal(token="secret"), B)
    readings = Readings([lambda: None if live.ask("page", signed_in) else pytest.fail("no stream")])
    monkeypatch.setattr(tab, "picture", readings)
    stream = tab.follow(Desk(connect), live, tab.Wish(Principal(), A), "page")
    async with asyncio.timeout(5):
        assert (await anext(stream)).choice == B
        assert readings.asked == [A, B]
        assert live.ask("page", tab.Wish(Principal(), A))
        seen = await anext(stream)
        assert (seen.choice, seen.anew) == (A, True)
        live.leave("page")
        assert [each async for each in stream] == []


async def test_a_refusal_of_what_a_page_asks_for_no_more_ends_nothing(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        live.ask("page", tab.Wish(Principal(), B))
        raise Refusal("unauthorized", "this token is wrong.", "sign in")

    readings = Readings([refuse])
    monkeypatch.setattr(tab, "picture", readings)
    stream = tab.follow(Desk(connect), live, tab.Wish(Principal(), A), "page")
    async with asyncio.timeout(5):
        assert (await anext(stream)).choice == B
    live.leave("page")


def refuse_always() -> None:
    """The token has ended."""
    raise Refusal("unauthorized", "this token is wrong.", "sign in")


async def test_a_token_that_ends_ends_the_stream_and_its_place(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tab, "picture", Readings([refuse_always]))
    with pytest.raises(Refusal, match="wrong"):
        await anext(tab.follow(Desk(connect), live, tab.Wish(Principal(), A), "page"))
    assert live.places == 0
    assert not live.ask("page", tab.Wish(Principal(), B)), "the next look begins a stream of its own"


async def test_whatever_befalls_a_reading_that_nobody_wants_any_more_the_page_gets_what_it_asks_for(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        live.ask("page", tab.Wish(Principal(), B))
        raise KeyError("of the older wish")

    monkeypatch.setattr(tab, "picture", Readings([fail]))
    stream = tab.follow(Desk(connect), live, tab.Wish(Principal(), A), "page")
    async with asyncio.timeout(5):
        assert (await anext(stream)).choice == B
    await stream.aclose()


async def test_what_is_asked_before_a_reading_begins_is_read_once(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = Readings([])
    monkeypatch.setattr(tab, "picture", readings)
    stream = tab.follow(Desk(connect), live, tab.Wish(Principal(), A), "page")
    async with asyncio.timeout(5):
        await anext(stream)
        for choice in (B, A, B):
            live.ask("page", tab.Wish(Principal(), choice))
        assert (await anext(stream)).choice == B
        assert readings.asked == [A, B]
        live.leave("page")
        assert [each async for each in stream] == []
    assert readings.asked == [A, B]


async def test_a_simulate_tab_that_was_never_opened_follows_nothing(live: Live) -> None:
    steps = Counting(Desk(connect), live)
    unopened = steps.following(PAGE, None, [], 0.9, None, False)
    assert [told async for told in unopened] == [[gr.skip()] * 8]
    assert (live.places, steps.wishes) == (0, [])


async def test_only_what_looks_like_a_run_is_followed_however_it_was_sent(live: Live) -> None:
    steps = Counting(Desk(connect), live)
    stream = steps.following(PAGE, None, ["task-a", "../nodes", 7, "task-" + "a" * 99, None], 0.9, None)
    await anext(stream)
    assert [wish.picked for wish in steps.wishes] == [("task-a",)]
    await stream.aclose()
