"""A browser; the page as its server serves it, and the page built with a scripted worker."""

from __future__ import annotations

import fcntl
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from chromium import FLAGS, NAMED, WEBGPU, program
from outside import missing
from page_scenes import WEB, build, served
from tab_federation import TabFederation, federation

from benchmarks.npm import NODE, environment
from scripts.node import wheel_node
from scripts.web import ROOT, NotBuilt, Web

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Playwright


def pytest_pycollect_makemodule() -> None:
    """Tests here import Playwright at their top."""
    if importlib.util.find_spec("playwright") is None:
        missing("no playwright: pip install -e '.[dev]'")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Not for longer than a module: as long as it lasts, its event loop is this thread's."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with playwright.chromium.launch(executable_path=program(), args=[*FLAGS, WEBGPU]) as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A profile of its own, forgotten with the test."""
    with browser.new_context() as context:
        yield context


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, packages: Web) -> Iterator[str]:
    """The address under which `/<scene>/edge/` opens the page in that state."""
    folder: Path = tmp_path_factory.mktemp("scenes")
    build(NODE, folder, environment())
    with served(folder) as address:
        yield address


@pytest.fixture(scope="session")
def packages() -> Web:
    """web/ with its packages and its bundle, made by one process of this run while the others wait."""
    web, node = Web(ROOT), wheel_node()
    assert node is not None, "NODE is its program"
    folder = os.open(WEB, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        web.install(node, everything=True)
        if web.stale():
            web.build(node)
    except NotBuilt as problem:
        missing(str(problem))
    finally:
        os.close(folder)
    return web


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """Where coroutines run while Playwright's loop has the main thread."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="session")
def everyones(
    tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal, packages: Web
) -> Iterator[TabFederation]:
    """A server where every caller may do everything, for all tests that do not disturb one another."""
    with federation(tmp_path_factory.mktemp("everyones"), portal) as everyones:
        everyones.machine.start_server("--open", "--allow-host", NAMED)
        yield everyones


@pytest.fixture
def own(tmp_path: Path, portal: BlockingPortal, packages: Web) -> Iterator[TabFederation]:
    """A machine of the test's own; it starts the server."""
    with federation(tmp_path, portal) as own:
        yield own
