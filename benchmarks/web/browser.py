"""A fresh headless Chromium with one page, and what the browser costs: all of its processes together."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Error, Page, async_playwright

from benchmarks.process import cpu_seconds, family, memory
from benchmarks.report import NotMeasured

PROGRAM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",
    "--enable-unsafe-webgpu",  # an adapter even where there is only a software one
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_START_S = 30.0


@dataclass(frozen=True)
class Browser:
    """A page, and the process that all others of its browser descend from."""

    page: Page
    root: int

    async def call(self, expression: str, patience_s: float, argument: object = None) -> Any:
        """What a function of the page answers; NotMeasured when it throws or takes too long."""
        try:
            async with asyncio.timeout(patience_s):
                return await self.page.evaluate(expression, argument)
        except TimeoutError:
            raise NotMeasured(f"not done after {patience_s:.0f} s") from None
        except Error as problem:
            raise NotMeasured(problem.message.splitlines()[0][:300]) from problem

    def cpu(self) -> dict[int, float]:
        """CPU seconds of each process so far, user and system."""
        seconds = {}
        for pid in family(self.root):
            try:
                seconds[pid] = cpu_seconds(pid)
            except OSError:
                continue  # it has just ended
        return seconds

    def pss(self) -> int:
        """Bytes that the processes hold together."""
        total = 0
        for pid in family(self.root):
            try:
                total += memory(pid).pss
            except OSError:
                continue
        return total


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """CPU seconds between two marks. A process that is new has spent all that it has."""
    return sum(seconds - before.get(pid, 0) for pid, seconds in after.items())


@asynccontextmanager
async def browser(url: str, flags: tuple[str, ...] = ()) -> AsyncIterator[Browser]:
    """Opens the page in a browser of its own, which is gone afterwards."""
    async with async_playwright() as playwright:
        earlier = set(family(os.getpid()))
        try:
            chromium = await playwright.chromium.launch(
                executable_path=PROGRAM, headless=True, args=[*FLAGS, *flags], timeout=_START_S * 1000
            )
        except Error as problem:
            raise NotMeasured(f"Chromium does not start: {problem.message.splitlines()[0]}") from problem
        root = min(pid for pid in set(family(os.getpid())) - earlier if is_chromium(pid))
        processes = set(family(root))
        try:
            page = await chromium.new_page()
            await page.goto(url, wait_until="load", timeout=_START_S * 1000)
            yield Browser(page, root)
            processes |= set(family(root))
        finally:
            try:
                async with asyncio.timeout(_START_S):
                    await chromium.close()
            except (TimeoutError, Error):
                pass
            for pid in processes:
                if is_chromium(pid):
                    os.kill(pid, signal.SIGKILL)


def is_chromium(pid: int) -> bool:
    """Whether the process is one of a browser's."""
    try:
        return "chrom" in Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return False
