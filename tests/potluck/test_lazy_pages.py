"""The pages for people are made when somebody looks, and are only an MCP client of the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import potluck.pages
from dashboard.principal import Connect, Principal
from mcp_server.settings import Settings
from potluck.pages import Lazy, pages_for
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Made:
    """Notes how often an application was made, and makes one that answers with its number."""

    def __init__(self, failures: int = 0) -> None:
        self.times = 0
        self.failures = failures

    def __call__(self) -> Starlette:
        self.times += 1
        if self.times <= self.failures:
            raise RuntimeError("it cannot be made")
        number = self.times

        async def answer(request: Request) -> PlainTextResponse:
            return PlainTextResponse(f"number {number} for {request.url.path}")

        return Starlette(routes=[Route("/{path:path}", answer)])


async def with_pages(folder: Path, pages: Any) -> AsyncGenerator[Served]:
    async with serving(folder, pages_for=lambda clients, visitors: pages, anonymous_role="none") as served:
        yield served


async def test_they_are_made_at_the_first_visit_and_once(tmp_path: Path) -> None:
    made = Made()
    async for served in with_pages(tmp_path, Lazy(made, [(b"x-kept", b"yes")])):
        assert (await served.http.get("/healthz")).status_code == 200
        assert made.times == 0
        answers = [await served.http.get(path) for path in ("/", "/assets/a.js")]
        assert [answer.text for answer in answers] == ["number 1 for /", "number 1 for /assets/a.js"]
        assert answers[0].headers["x-kept"] == "yes"
        assert made.times == 1


async def test_pages_that_could_not_be_made_are_tried_again_by_the_next_visitor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made(failures=1)
    async for served in with_pages(tmp_path, Lazy(made)):
        assert (await served.http.get("/")).status_code == 500
        assert (await served.http.get("/")).text == "number 2 for /"
    assert "it cannot be made" in caplog.text


async def test_a_server_that_demands_tokens_shows_its_pages_and_nothing_else(tmp_path: Path) -> None:
    async for served in with_pages(tmp_path, Lazy(Made())):
        stray = {"Authorization": "Bearer of-a-proxy-in-between"}
        assert (await served.http.get("/", headers=stray)).status_code == 200
        for path in ("/mcp", "/sse", "/metrics", "/raw/blobs/x"):
            assert (await served.http.get(path)).status_code in (401, 403, 404), path
        assert (await served.http.get("/mcp")).status_code == 401
        assert (await served.http.get("/", headers={"Host": "evil.example"})).status_code == 421


async def test_without_the_extra_the_page_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(potluck.pages, "find_spec", lambda name: None)
    make = pages_for(Settings(data_dir=tmp_path))
    async with serving(tmp_path, pages_for=make) as served:
        page = await served.http.get("/")
        assert page.status_code == 503
        assert "potluck-fl[space]" in page.text
        assert (await served.http.get("/nothing")).json()["error"]["code"] == "not_found"


async def test_a_pasted_token_that_is_wrong_is_refused_with_the_mend(tmp_path: Path) -> None:
    handed: list[Connect] = []

    def make(clients: Any, visitors: Any) -> Lazy:
        handed.append(potluck.pages._connect(clients, visitors))
        return Lazy(Made())

    async with serving(tmp_path, pages_for=make, operators=["ada"]) as served:
        with pytest.raises(PermissionError, match="Mend: "):
            async with handed[0](Principal(token="wrong-wrong-wrong")):
                pass
        for principal, steers in (
            (Principal(), False),
            (Principal(token=(await served.token("operator")).secret), True),
            (Principal(hub_user="ada"), True),
            (Principal(hub_user="mallory"), False),
            (Principal(watcher=True), False),
        ):
            async with handed[0](principal) as client:
                names = {tool.name for tool in (await client.list_tools()).tools}
                assert ("create_task" in names) is steers, principal
                assert "list_tasks" in names


def test_a_principal_that_is_printed_keeps_its_token_to_itself() -> None:
    assert "secret" not in repr(Principal(token="secret"))
