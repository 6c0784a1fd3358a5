"""Processes that a test did not start itself, and whose end it waits for."""

from __future__ import annotations

import asyncio
import os


async def gone(pid: int) -> None:
    """Returns when the process has ended, at once if there is none."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
