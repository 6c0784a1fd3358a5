"""Rows kept in memory are never older than the last change."""

from __future__ import annotations

import asyncio

import pytest

from federation.store.remembered import Remembered

pytestmark = pytest.mark.anyio


async def test_a_row_is_read_once_until_it_changes() -> None:
    reads: list[int] = []

    async def read() -> int:
        reads.append(len(reads))
        return reads[-1]

    rows: Remembered[int] = Remembered(2)
    assert [await rows.get("a", read) for _ in range(3)] == [0, 0, 0]
    rows.forget("a")
    assert await rows.get("a", read) == 1


async def test_a_row_that_changed_while_it_was_read_is_read_again() -> None:
    rows: Remembered[str] = Remembered(2)
    reading, changed = asyncio.Event(), asyncio.Event()
    answers = ["old", "new"]

    async def read() -> str:
        answer = answers.pop(0)
        reading.set()
        await changed.wait()
        return answer

    first = asyncio.create_task(rows.get("a", read))
    await reading.wait()
    rows.forget("a")
    changed.set()
    assert await first == "new"
    assert await rows.get("a", read) == "new"


async def test_a_row_that_is_not_there_is_asked_for_again() -> None:
    rows: Remembered[str] = Remembered(2)
    found: list[str | None] = [None, "made since"]

    async def read() -> str | None:
        return found.pop(0)

    assert await rows.get("a", read) is None
    assert await rows.get("a", read) == "made since"


async def test_only_the_latest_rows_are_kept() -> None:
    rows: Remembered[str] = Remembered(2)
    reads: list[str] = []

    def reader(key: str) -> object:
        async def read() -> str:
            reads.append(key)
            return key

        return read

    for key in ("a", "b", "a", "c", "a", "b"):
        await rows.get(key, reader(key))  # type: ignore[arg-type]
    assert reads == ["a", "b", "c", "b"], "b was the one not asked for lately"


async def test_changes_of_rows_that_nobody_reads_leave_nothing_behind() -> None:
    rows: Remembered[str] = Remembered(2)
    for number in range(1000):
        rows.forget(f"key {number}")
    assert not rows._reads
