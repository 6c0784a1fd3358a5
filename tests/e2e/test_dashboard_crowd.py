"""The pages as Gradio serves them: how many may be open, what they may send, and what is left when they close."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from machine import OPERATOR, Machine

pytestmark = pytest.mark.anyio
JOIN = "/gradio_api/queue/join"
OPEN = 45
"""More than the 40 events that Gradio runs at a time by itself; with as many again, more than an address may have."""


class Pages:
    """A server's pages, and their events by the names of their functions."""

    def __init__(self, http: httpx2.AsyncClient, events: dict[str, int]) -> None:
        self.http = http
        self._events = events

    async def join(self, name: str, session: str, *given: Any) -> httpx2.Response:
        """Sends an event, as the page with this session would."""
        body = {"data": given, "fn_index": self._events[name], "session_hash": session}
        return await self.http.post(JOIN, json=body)

    async def answer(self, name: str, session: str, *given: Any) -> list[Any]:
        """The first answer to an event."""
        (await self.join(name, session, *given)).raise_for_status()
        async with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if message.get("msg") in ("process_generating", "process_completed"):
                    return list(message["output"].get("data") or [message["output"]])
        raise AssertionError("the stream ended")

    @asynccontextmanager
    async def beating(self, session: str) -> AsyncGenerator[None]:
        """As long as a page is open, its heart beats."""
        async with self.http.stream("GET", f"/gradio_api/heartbeat/{session}") as heart:
            await anext(aiter(heart.aiter_lines()))
            yield

    async def role(self, session: str, token: str | None) -> str:
        """Who the page says that its visitor is, after this token was pasted."""
        return str((await self.answer("enter", session, token))[2])


@pytest.fixture
async def pages(machine: Machine) -> AsyncGenerator[Pages]:
    machine.start_server()
    limits = httpx2.Limits(max_connections=400)
    async with httpx2.AsyncClient(base_url=machine.url, timeout=60, limits=limits) as http:
        config = (await http.get("/config")).json()
        events = {each["api_name"]: each["id"] for each in reversed(config["dependencies"]) if each["api_name"]}
        yield Pages(http, events)


async def test_a_crowd_of_pages_and_of_none_leaves_room_for_whoever_signs_in(pages: Pages) -> None:
    async with AsyncExitStack() as crowd:
        for number in range(OPEN):
            session = f"open-{number}"
            await crowd.enter_async_context(pages.beating(session))
            await pages.answer("another", session, None, None, "", "All")
        assert "operator" in await asyncio.wait_for(pages.role("signing-in", OPERATOR), 30)
        for number in range(OPEN):  # from programs that never open a page
            await pages.join("another", f"no-page-{number}", None, None, "", "All")
        assert "operator" in await asyncio.wait_for(pages.role("signing-in-too", OPERATOR), 30)


async def test_what_a_page_held_is_gone_with_it(pages: Pages) -> None:
    session = "operators-page"
    async with pages.beating(session):
        assert "operator" in await pages.role(session, OPERATOR)
        assert "operator" in str(await pages.answer("look", session, None))
    again = ""
    async with asyncio.timeout(60):  # the server learns of a page's end when it writes to it
        while "viewer" not in again:
            again = str(await pages.answer("look", session, None))
    assert "operator</" not in again


async def test_what_is_too_large_or_too_much_is_turned_away_while_the_server_goes_on(pages: Pages) -> None:
    draft = json.dumps({"spec": {"a": [{"a": 1}] * 12_000}, "request_id": "a-long-draft", "task_id": None})
    assert (await pages.join("renoted", "a-writer", draft, "YAML")).status_code == 200
    assert (await asyncio.wait_for(pages.http.get("/healthz"), 3)).status_code == 200
    refused = await pages.join("renoted", "a-writer", draft * 10, "YAML")
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    picture = {"files": ("a.png", b"\0" * (8 << 20), "image/png")}
    answers = [await pages.http.post("/gradio_api/upload", files=picture) for _ in range(8)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert answers[-1].status_code == 429
    assert "try again in" in answers[-1].json()["error"]["mend"]
    assert (await pages.http.get("/gradio_api/deep_link?session_hash=a-writer")).status_code == 404
