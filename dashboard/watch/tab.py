"""The Federation tab: each open page has one stream, which follows the task that the page asks for until it closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import gradio as gr
from anyio import from_thread

from dashboard.desk import Desk, Refusal
from dashboard.live import Crowded, Live, Place
from dashboard.markup import refused
from dashboard.principal import Principal
from dashboard.sign_in import Session
from dashboard.visitor import principal_of
from dashboard.watch.parts import laid_out
from dashboard.watch.reading import Choice, Picture, picture
from dashboard.watch.shown import CURRENT, Shown, shown, updates
from dashboard.watch.steering import steering

_MERGE_S = 0.5
"""Between two readings of one page, at least: notices that come in between are one."""
_TYPING_S = 0.1
"""Before what a page asks for is read where it has changed its mind: wishes that come in between are one."""
_SHARE = 4
"""And so many times as long as the last one took: a busy server does something else, too."""

_FAILED = Refusal("internal", "the page failed while it was made.", "load it again; the server's log says why")

log = logging.getLogger(__name__)

_LISTS = ("tasks", "rounds", "versions")
"""Parts in which the visitor chooses."""

Told = list[Any]
"""An update for the place where trouble is told, then one for each part."""


@dataclass(frozen=True)
class Wish:
    """What a page asks for, and as whom."""

    principal: Principal
    choice: Choice


@dataclass(frozen=True)
class Seen:
    """What a page is to show.

    Attributes:
        anew: whether it is the first answer to a wish: the visitor may have changed the lists meanwhile.
    """

    choice: Choice
    picture: Picture
    anew: bool = True


def federation_tab(desk: Desk, session: Session, live: Live, blocks: gr.Blocks) -> None:
    """What goes on, live; whoever may steer finds the levers beside it."""
    parts = laid_out()

    async def look(request: gr.Request, token: str | None, choice: Choice, page: Shown) -> AsyncGenerator[Told]:
        order, name, wish = list(parts.shown), str(request.session_hash), Wish(principal_of(request, token), choice)
        nothing = [gr.skip()] * (1 + len(order))  # also what a stream says last, which Gradio repeats when it has ended
        if live.ask(name, wish):
            yield nothing
            return

        def told(seen: Seen) -> Told:
            new = shown(seen.picture, parts.charts, seen.choice)
            for each in _LISTS if seen.anew else ():
                page.pop(each, None)
            return updates({name: new[name] for name in order}, page)

        try:
            async with aclosing(follow(desk, live, wish, name)) as stream:
                async for seen in stream:
                    new = await asyncio.to_thread(told, seen)
                    if seen.anew or any(part != gr.skip() for part in new):
                        yield ["", *new]
            yield nothing
        except Crowded as crowded:
            yield [refused(crowded), *nothing[1:]]
        except Refusal as refusal:
            yield [refused(refusal), *told(Seen(Choice(), Picture(frozenset())))]
        except Exception:
            log.exception("a page could not be shown")
            yield [refused(_FAILED), *nothing[1:]]

    async def loaded(request: gr.Request, token: str | None) -> AsyncGenerator[Told]:
        async with aclosing(look(request, token, Choice(), parts.hidden())) as stream:
            async for told in stream:
                yield told

    async def the_same(
        request: gr.Request, token: str | None, task_id: str | None, round_: int, version: int, words: str, kind: str
    ) -> AsyncGenerator[Told]:
        chosen = Choice(
            task_id, round_ or None, None if version == CURRENT else version, str(words or ""), str(kind or "")
        )
        async with aclosing(look(request, token, chosen, {})) as stream:
            async for told in stream:
                yield told

    async def another(
        request: gr.Request, token: str | None, task_id: str | None, words: str, kind: str
    ) -> AsyncGenerator[Told]:
        async with aclosing(
            look(request, token, Choice(task_id, words=str(words or ""), kind=str(kind or "")), {})
        ) as stream:
            async for told in stream:
                yield told

    def left(request: gr.Request) -> None:
        from_thread.run_sync(live.leave, str(request.session_hash))  # Gradio calls this in a thread

    outputs, tasks = [parts.trouble, *parts.shown.values()], parts.shown["tasks"]
    lasting: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # What was chosen is taken as it is: a list may have changed since, and Gradio would refuse what it holds no more.
    lasting |= {"concurrency_limit": None, "trigger_mode": "multiple", "preprocess": False}
    found = [session.token, tasks, parts.words, parts.kind]
    blocks.load(loaded, [session.token], outputs, **lasting)
    gr.on([session.token.change, tasks.input], another, found, outputs, **lasting)
    rounds, versions = parts.shown["rounds"], parts.shown["versions"]
    narrower = [rounds.input, versions.input, parts.words.input, parts.kind.input]
    chosen = [session.token, tasks, rounds, versions, parts.words, parts.kind]
    gr.on(narrower, the_same, chosen, outputs, **lasting)
    blocks.unload(left)
    steering(desk, session, parts)


async def follow(desk: Desk, live: Live, wish: Wish, page: str) -> AsyncGenerator[Seen]:
    """What a visitor sees of what the page asks for, again whenever it may have changed or the page asks for something
    else, until the page's place is given up. Whoever may see nothing is told so, and keeps no place.

    Raises:
        Refusal: the token has ended, or the server refuses a reading.
    """
    try:
        with live.place(page, wish.principal.address, wish) as place:
            async with aclosing(_followed(desk, live, place)) as stream:
                async for seen in stream:
                    yield seen
    except Crowded:
        yield Seen(wish.choice, await _read(desk, wish))
        raise


async def _followed(desk: Desk, live: Live, place: Place) -> AsyncGenerator[Seen]:
    answered: Wish | None = None
    while place.taken:
        wish, began = place.take(), perf_counter()
        try:
            seen = await _read(desk, wish)
        except Exception:
            if place.wish is wish:
                raise
            seen = None  # of what nobody asks for any more
        if seen is None or place.wish is not wish or not place.taken:
            await asyncio.sleep(_TYPING_S)
            continue
        anew = wish is not answered
        place.wish = answered = wish = replace(wish, choice=_settled(wish.choice, seen))
        live.want(place, [f"potluck://tasks/{wish.choice.task_id}"] if seen.task is not None else [])
        yield Seen(wish.choice, seen, anew)
        nobody = not seen.sees and place.wish is wish
        if nobody or not await _later(place, perf_counter() - began):
            return


async def _read(desk: Desk, wish: Wish) -> Picture:
    async with desk.line(wish.principal) as line:
        return await picture(line, wish.choice, await line.tools())


def _settled(choice: Choice, seen: Picture) -> Choice:
    """The choice, bound to the task that it led to: a newer one does not take the page away from its reader."""
    return choice if seen.task is None else replace(choice, task_id=str(seen.task["task_id"]))


async def _later(place: Place, took_s: float) -> bool:
    """When there is news, and not too soon; whether the page is still there."""
    return await place.news() and await place.rest(max(_MERGE_S, _SHARE * took_s))
