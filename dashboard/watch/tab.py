"""The Federation tab: each open page follows one task, until it looks elsewhere or closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import gradio as gr

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
_SHARE = 4
"""And so many times as long as the last one took: a busy server does something else, too."""

_FAILED = Refusal("internal", "the page failed while it was made.", "load it again; the server's log says why")

log = logging.getLogger(__name__)

Told = list[Any]
"""An update for the place where trouble is told, then one for each part."""
Seen = tuple[Choice, Picture]


def federation_tab(desk: Desk, session: Session, live: Live, blocks: gr.Blocks) -> None:
    """What goes on, live; whoever may steer finds the levers beside it."""
    parts = laid_out()

    async def look(request: gr.Request, token: str | None, choice: Choice) -> AsyncGenerator[Told]:
        page, order = Shown(), list(parts.shown)

        def told(choice: Choice, seen: Picture) -> Told:
            new = shown(seen, parts.charts, choice)
            return updates({name: new[name] for name in order}, page)

        principal, name, begun = principal_of(request, token), str(request.session_hash), False
        try:
            async for bound, seen in follow(desk, live, principal, name, choice):
                new = await asyncio.to_thread(told, bound, seen)
                if not begun or any(part != gr.skip() for part in new):
                    yield ["", *new]
                    begun = True
            yield [gr.skip()] * (1 + len(order))  # Gradio repeats the last of it, when another stream may be on already
        except Crowded as crowded:
            yield [refused(crowded), *[gr.skip()] * len(order)]
        except Refusal as refusal:
            yield [refused(refusal), *told(choice, Picture(frozenset()))]
        except Exception:
            log.exception("a page could not be shown")
            yield [refused(_FAILED), *[gr.skip()] * len(order)]

    async def the_same(
        request: gr.Request, token: str | None, task_id: str | None, round_: int, version: int, words: str, kind: str
    ) -> AsyncGenerator[Told]:
        chosen = Choice(task_id, round_ or None, None if version == CURRENT else version, words or "", kind or "")
        async for told in look(request, token, chosen):
            yield told

    async def another(
        request: gr.Request, token: str | None, task_id: str | None, words: str, kind: str
    ) -> AsyncGenerator[Told]:
        async for told in look(request, token, Choice(task_id, words=words or "", kind=kind or "")):
            yield told

    def left(request: gr.Request) -> None:
        live.leave(str(request.session_hash))

    outputs, tasks = [parts.trouble, *parts.shown.values()], parts.shown["tasks"]
    lasting: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    lasting |= {"concurrency_limit": None, "trigger_mode": "multiple"}
    found = [session.token, tasks, parts.words, parts.kind]
    gr.on([blocks.load, session.token.change, tasks.input], another, found, outputs, **lasting)
    rounds, versions = parts.shown["rounds"], parts.shown["versions"]
    narrower = [rounds.input, versions.input, parts.words.input, parts.kind.input]
    chosen = [session.token, tasks, rounds, versions, parts.words, parts.kind]
    gr.on(narrower, the_same, chosen, outputs, **lasting)
    blocks.unload(left)
    steering(desk, session, parts)


async def follow(desk: Desk, live: Live, principal: Principal, page: str, choice: Choice) -> AsyncGenerator[Seen]:
    """What a visitor sees of a choice, again whenever it may have changed, until the page's place is given up.

    Raises:
        Refusal: the token has ended, or the server refuses a reading.
    """
    async with desk.line(principal) as line:
        tools = await line.tools()
    if "list_tasks" not in tools:
        yield choice, Picture(tools)
        return
    try:
        with live.place(page, principal.address) as place:
            async for seen in _followed(desk, live, principal, place, choice, tools):
                yield seen
    except Crowded:
        async with desk.line(principal) as line:
            yield choice, await picture(line, choice, tools)
        raise


async def _followed(
    desk: Desk, live: Live, principal: Principal, place: Place, choice: Choice, tools: frozenset[str]
) -> AsyncGenerator[Seen]:
    while True:
        began = perf_counter()
        async with desk.line(principal) as line:
            seen = await picture(line, choice, tools)
        if not place.taken:
            return  # the page looks elsewhere by now
        choice = _settled(choice, seen, lambda uris: live.want(place, uris))
        yield choice, seen
        if not await _later(place, perf_counter() - began):
            return


def _settled(choice: Choice, seen: Picture, want: Callable[[list[str]], None]) -> Choice:
    """The choice, bound to the task that it led to: a newer one does not take the page away from its reader."""
    if seen.task is None or seen.task["task_id"] == choice.task_id:
        task_id = choice.task_id
    else:
        task_id = str(seen.task["task_id"])
    if task_id is not None:
        want([f"potluck://tasks/{task_id}"])
    return replace(choice, task_id=task_id)


async def _later(place: Place, took_s: float) -> bool:
    """When there is news, and not too soon; whether the page is still there."""
    if not await place.news():
        return False
    await asyncio.sleep(max(_MERGE_S, _SHARE * took_s))
    return place.taken
