"""A browser, and the page built with a scripted worker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from outside import missing
from page_scenes import WEB, build, served
from playwright.sync_api import Browser, sync_playwright

from benchmarks.npm import NODE, environment

FLAGS = [
    "--no-sandbox",  # tests run as root in containers
    "--enable-unsafe-webgpu",  # else headless Chromium has no software adapter
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("no chromium: apt-get install chromium libvulkan1, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address under which `/<scene>/edge/` opens the page in that state."""
    if not (WEB / "node_modules" / "vite").is_dir():
        missing("no packages of web/: run `npm ci` there")
    folder: Path = tmp_path_factory.mktemp("scenes")
    build(NODE, folder, environment())
    with served(folder) as address:
        yield address
