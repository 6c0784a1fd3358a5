"""Word of change for open pages: one listen stream for all of them, which lasts as long as anybody looks.

A notice has no content. A page that hears one reads again, as its own visitor, so nobody is shown by this stream what
their role does not show them. Notices that come faster than a page reads are merged: the latest state is what it gets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from mcp import Client
from mcp.client.subscriptions import ResourceUpdated

from dashboard.desk import Refusal
from dashboard.principal import Connect, Principal

log = logging.getLogger(__name__)

ALWAYS = frozenset({"potluck://tasks", "potluck://nodes"})
"""What every page wants to hear of."""
MOST = 400
"""Places in all; and of these, from one address: many people may look from behind one router."""
MOST_FROM_ONE = 60
_PAUSES_S = (0.1, 0.5, 2.0, 5.0)
"""Before the stream is made again; the last one for ever."""


class Crowded(Refusal):
    """There is no place left: the page shows what there is, and does not follow it."""

    def __init__(self, where: str) -> None:
        mend = "close some, and load this page again; until then, load it to see what is new"
        super().__init__("busy", f"This page does not renew itself: {where}.", mend)


class Place:
    """One open page's ear.

    Attributes:
        address: where the page is open, by which places are counted.
        wish: what the page asks for now, whatever that means to its stream.
    """

    def __init__(self, address: str = "", wish: Any = None) -> None:
        self.uris = ALWAYS
        self.taken = True
        self.address = address
        self.wish = wish
        self._news = asyncio.Event()
        self._asked = asyncio.Event()

    def wake(self) -> None:
        """There may be something new."""
        self._news.set()

    def ask(self, wish: Any) -> None:
        """The page asks for something else, and does not want to wait."""
        self.wish = wish
        self._asked.set()
        self._news.set()

    def leave(self) -> None:
        """Nobody sits here any more."""
        self.taken = False
        self._asked.set()
        self._news.set()

    async def news(self) -> bool:
        """Waits for something new since it last answered; False when the place has been given up. Read after it."""
        await self._news.wait()
        self._news.clear()
        return self.taken

    def take(self) -> Any:
        """The wish, to be answered now with all that is new."""
        if self.taken:
            self._news.clear()
            self._asked.clear()
        return self.wish

    async def rest(self, seconds: float) -> bool:
        """Lets news gather, unless the page asks for something else; False when the place has been given up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        self._asked.clear()
        return self.taken


class Live:
    """Hands out places, and listens while any is taken.

    Args:
        connect: where the stream comes from.
        pauses_s: seconds to wait before the first, second, … attempt to open it anew.
    """

    def __init__(self, connect: Connect, pauses_s: tuple[float, ...] = _PAUSES_S) -> None:
        self._connect = connect
        self._pauses_s = pauses_s
        self._places: dict[str, Place] = {}
        self._heard: frozenset[str] = frozenset()
        self._wanted_more = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._closed = False
        self._idle: frozenset[str] = frozenset()

    @property
    def places(self) -> int:
        """How many are taken."""
        return len(self._places)

    def ask(self, page: str, wish: Any) -> bool:
        """Hands what a page asks for now to the stream that shows it already; False where it has none.

        One page has one stream: what two of them say overtakes each other in the browser, and the older may stay.
        """
        place = self._places.get(page)
        if place is not None:
            place.ask(wish)
        return place is not None

    @contextmanager
    def place(self, page: str, address: str = "", wish: Any = None) -> Generator[Place]:
        """A place for a page, which gives up the one that it had.

        Raises:
            Crowded: all are taken, or all that one address may have.
        """
        place = Place(address, wish)
        self.leave(page)
        if len(self._places) >= MOST:
            raise Crowded(f"{MOST} are open here, and that is all that this server keeps up with")
        if sum(other.address == address for other in self._places.values()) >= MOST_FROM_ONE:
            raise Crowded(f"{MOST_FROM_ONE} are open at your address, and that is all that one may have")
        if self._closed:
            place.leave()
        else:
            self._places[page] = place
            self._listen_for(place)
        try:
            yield place
        finally:
            if self._places.get(page) is place:
                self.leave(page)

    def want(self, place: Place, uris: Iterable[str]) -> None:
        """What a place wants to hear of, besides tasks and nodes."""
        place.uris = ALWAYS | frozenset(uris)
        if place.taken:
            self._listen_for(place)

    def leave(self, page: str) -> None:
        """A page has closed, or looks elsewhere. The stream ends with the last one."""
        if (place := self._places.pop(page, None)) is not None:
            place.leave()
        if not self._places and self._listening is not None:
            self._listening.cancel()
            self._listening = None

    def sweep(self, unread: Callable[[str], bool]) -> None:
        """Takes the places from pages that left unread what they were told, now and at the last sweep: nobody is there.

        Args:
            unread: whether a page has been told something that it has not fetched.
        """
        idle = frozenset(page for page in self._places if unread(page))
        for page in idle & self._idle:
            self.leave(page)
        self._idle = idle

    async def close(self) -> None:
        """Ends every place and the stream."""
        self._closed = True
        listening = self._listening
        for page in list(self._places):
            self.leave(page)
        if listening is not None:
            await asyncio.wait({listening}, timeout=5)

    def _listen_for(self, place: Place) -> None:
        if self._listening is None or self._listening.done():
            self._heard = frozenset()
            self._listening = asyncio.create_task(self._listen(), name="dashboard listens")
        elif not place.uris <= self._heard:
            self._wanted_more.set()

    async def _listen(self) -> None:
        for attempt in count():
            began = asyncio.get_running_loop().time()
            try:
                async with self._connect(Principal(watcher=True)) as client:
                    await self._hear(client)
            except Exception as error:
                log.info("the stream of changes ended: %s", error)
            self._heard = frozenset()
            lasted = asyncio.get_running_loop().time() - began > self._pauses_s[-1]
            await asyncio.sleep(self._pauses_s[0 if lasted else min(attempt, len(self._pauses_s) - 1)])

    async def _hear(self, client: Client) -> None:
        """Listens until the stream ends; opens a wider one before it leaves the one that is too narrow."""
        current: asyncio.Task[None] | None = None
        wider: asyncio.Task[None] | None = None
        try:
            while True:
                self._wanted_more.clear()
                wanted = ALWAYS.union(*(place.uris for place in self._places.values()))
                opened = asyncio.Event()
                wider = asyncio.create_task(self._stream(client, wanted, opened))
                await _first(opened.wait(), wider)
                if current is not None:
                    await _ended(current)
                current, wider = wider, None
                news, self._heard = wanted - self._heard, wanted
                self._tell(news)  # whatever changed before this stream began
                await _first(self._wanted_more.wait(), current)
                if current.done():
                    return await current
        finally:
            for task in (current, wider):
                if task is not None:
                    await _ended(task)

    async def _stream(self, client: Client, uris: frozenset[str], opened: asyncio.Event) -> None:
        async with client.listen(resource_subscriptions=sorted(uris)) as changes:
            opened.set()
            async for change in changes:
                if isinstance(change, ResourceUpdated):
                    self._tell({change.uri})

    def _tell(self, uris: Iterable[str]) -> None:
        told = frozenset(str(uri) for uri in uris)
        for place in self._places.values():
            if place.uris & told:
                place.wake()


async def _first(waiting: object, task: asyncio.Task[None]) -> None:
    """Until either ends."""
    other = asyncio.ensure_future(waiting)  # type: ignore[call-overload]
    try:
        await asyncio.wait({other, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        other.cancel()


async def _ended(task: asyncio.Task[None]) -> None:
    """Ends a task and waits for that; what it failed with has been told by then."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # looked at, or asyncio would complain that nobody did
