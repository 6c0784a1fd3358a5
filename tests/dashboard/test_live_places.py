"""One stream for all pages: who hears what, when it is opened anew, and what is left when pages close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, cast

import pytest
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated

from dashboard.live import ALWAYS, Crowded, Live, Place
from dashboard.principal import Principal

pytestmark = pytest.mark.anyio
TASK, OTHER = "potluck://tasks/task-a", "potluck://tasks/task-b"


class Server:
    """Streams that a test can feed and end."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.principals: list[Principal] = []
        self.refuses = 0
        self._opened = asyncio.Event()

    @asynccontextmanager
    async def connect(self, principal: Principal) -> AsyncGenerator[Client]:
        self.principals.append(principal)
        if self.refuses:
            self.refuses -= 1
            raise PermissionError("not now")
        yield cast(Client, self)

    @asynccontextmanager
    async def listen(self, *, resource_subscriptions: list[str]) -> AsyncGenerator[Stream]:
        stream = Stream(frozenset(resource_subscriptions))
        self.streams.append(stream)
        self._opened.set()
        try:
            yield stream
        finally:
            stream.open = False

    async def opened(self, count: int) -> Stream:
        """The stream that is the `count`th to be opened."""
        async with asyncio.timeout(5):
            while len(self.streams) < count:
                self._opened.clear()
                await self._opened.wait()
        return self.streams[count - 1]


class Stream:
    def __init__(self, uris: frozenset[str]) -> None:
        self.uris = uris
        self.open = True
        self._changes: asyncio.Queue[str | None] = asyncio.Queue()

    def tell(self, uri: str | None) -> None:
        self._changes.put_nowait(uri)

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (uri := await self._changes.get()) is not None:
            yield ResourceUpdated(uri=uri)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def live(server: Server) -> AsyncIterator[Live]:
    live = Live(server.connect, pauses_s=(0.0,))
    yield live
    await live.close()


async def heard(place: Place) -> bool:
    async with asyncio.timeout(5):
        return await place.news()


async def silent(place: Place) -> bool:
    """Whether nothing reaches the place, as far as the loop has work to do."""
    for _ in range(20):
        await asyncio.sleep(0)
    return not place._news.is_set()


async def test_all_pages_share_one_stream_that_listens_as_the_pages_themselves(server: Server, live: Live) -> None:
    with live.place("one") as one, live.place("other") as other:
        stream = await server.opened(1)
        assert await heard(one)
        assert await heard(other)
        stream.tell("potluck://tasks")
        assert await heard(one)
        assert await heard(other)
        assert len(server.streams) == 1
        assert server.principals == [Principal(watcher=True)]


async def test_a_page_hears_of_its_own_task_and_of_no_other(server: Server, live: Live) -> None:
    with live.place("one") as one, live.place("other") as other:
        live.want(one, [TASK])
        live.want(other, [OTHER])
        stream = await server.opened(1)
        assert await heard(one)
        assert await heard(other)
        stream.tell(TASK)
        assert await heard(one)
        assert await silent(other)


async def test_a_wider_stream_is_open_before_the_narrow_one_ends_and_catches_up(server: Server, live: Live) -> None:
    with live.place("one") as one:
        narrow = await server.opened(1)
        assert await heard(one)
        live.want(one, [TASK])
        wide = await server.opened(2)
        assert (narrow.uris, wide.uris) == (ALWAYS, ALWAYS | {TASK})
        assert await heard(one)  # what changed in between may have gone unheard
        assert not narrow.open
        wide.tell(TASK)
        assert await heard(one)


async def test_news_that_come_faster_than_a_page_reads_are_one(server: Server, live: Live) -> None:
    with live.place("one") as one:
        stream = await server.opened(1)
        assert await heard(one)
        for _ in range(100):
            stream.tell("potluck://nodes")
        assert not await silent(one)
        assert await heard(one)
        assert await silent(one)


async def test_a_stream_that_ends_is_opened_anew_and_pages_read_again(server: Server, live: Live) -> None:
    with live.place("one") as one:
        stream = await server.opened(1)
        assert await heard(one)
        server.refuses = 2
        stream.tell(None)
        await server.opened(2)
        assert await heard(one)
        assert len(server.principals) == 4  # two of them in vain


async def test_a_page_that_looks_elsewhere_gives_its_place_up(server: Server, live: Live) -> None:
    with live.place("page") as before:
        await server.opened(1)
        assert await heard(before)
        with live.place("page") as after:
            assert not await heard(before)
            assert after.taken
            assert live.places == 1
    assert live.places == 0


async def test_of_fifty_pages_that_close_nothing_is_left(server: Server, live: Live) -> None:
    before = asyncio.all_tasks()

    async def page(name: str) -> None:
        with live.place(name) as place:
            live.want(place, [TASK])
            while await place.news():
                pass

    pages = [asyncio.create_task(page(str(number))) for number in range(50)]
    stream = await server.opened(1)
    while live.places < 50:
        await asyncio.sleep(0)
    for number in range(25):
        live.leave(str(number))
    for task in pages[25:]:
        task.cancel()
    await asyncio.wait(pages, timeout=5)
    assert all(task.done() for task in pages)
    assert live.places == 0
    await live.close()
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)
    assert not stream.open


async def test_after_the_end_places_are_given_up_at_once(server: Server, live: Live) -> None:
    with live.place("early") as early:
        await server.opened(1)
        await live.close()
        assert not await heard(early) or not await heard(early)
    with live.place("late") as late:
        assert not await heard(late)
    assert live.places == 0


async def test_an_address_has_only_so_many_places_and_the_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.live.MOST", 5)
    monkeypatch.setattr("dashboard.live.MOST_FROM_ONE", 3)
    live = Live(Server().connect)
    with ExitStack() as open_pages:
        for number in range(3):
            open_pages.enter_context(live.place(f"page-{number}", "10.0.0.1"))
        with pytest.raises(Crowded, match="3 are open at your address"), live.place("one-more", "10.0.0.1"):
            pass
        open_pages.enter_context(live.place("page-0", "10.0.0.1"))  # which gives up the place that it had
        for number in range(2):
            open_pages.enter_context(live.place(f"other-{number}", "10.0.0.2"))
        with pytest.raises(Crowded, match="5 are open here"), live.place("one-more", "10.0.0.3"):
            pass
        assert live.places == 5
    await live.close()


async def test_a_page_that_asks_for_something_else_is_not_made_to_rest(live: Live) -> None:
    with live.place("page", wish="this") as place:
        assert live.ask("page", "that")
        async with asyncio.timeout(5):
            assert await place.news()
            assert await place.rest(3600)
        assert place.wish == "that"
        assert await place.rest(0)
    assert not live.ask("page", "anything"), "nobody is there any more"


async def test_a_page_that_closes_rests_no_longer(live: Live) -> None:
    with live.place("page") as place:
        resting = asyncio.ensure_future(place.rest(3600))
        live.leave("page")
        async with asyncio.timeout(5):
            assert not await resting


async def test_a_page_that_twice_left_unread_what_it_was_told_loses_its_place(live: Live) -> None:
    waiting = {"gone", "slow"}
    with live.place("gone") as gone, live.place("slow") as slow, live.place("here") as here:
        live.sweep(waiting.__contains__)
        assert gone.taken, "a moment is no absence"
        waiting.discard("slow")
        live.sweep(waiting.__contains__)
        waiting.add("slow")
        live.sweep(waiting.__contains__)
        assert (gone.taken, slow.taken, here.taken) == (False, True, True)
        assert live.places == 2
