"""A database that is not whole is refused before anything is written, and its bytes stay as they were."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from world import open_world

from federation.errors import ErrorCode, Refused

pytestmark = pytest.mark.anyio


async def lived_in(data_dir: Path) -> Path:
    """The database of a server that has had a task, a round and a stop."""
    async with open_world(data_dir) as world:
        task = await world.task()
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 2.0)
        await world.review()
    return data_dir / "potluck.db"


def files(data_dir: Path) -> dict[str, str]:
    """The SHA-256 of every file but the lock."""
    found = (path for path in data_dir.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


async def refusal_of(data_dir: Path) -> Refused:
    """The refusal to open it, which changes no file."""
    before = files(data_dir)
    with pytest.raises(Refused) as refused:
        async with open_world(data_dir):
            pass
    after = files(data_dir)
    assert {path: after.get(path) for path in before} == before
    assert "nothing has been changed" in refused.value.mend
    return refused.value


def page_size(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM")  # a migration that makes a table anew leaves the old one's pages free
        assert connection.execute("PRAGMA freelist_count").fetchone()[0] == 0, "damage to a free page is none"
        return int(connection.execute("PRAGMA page_size").fetchone()[0])


def overwrite(database: Path, offset: int, data: bytes) -> None:
    with database.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def torn_last_page(database: Path) -> None:
    size = page_size(database)
    overwrite(database, database.stat().st_size - size, bytes(size))


def half_a_file(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size // 2 // page_size(database) * page_size(database))


def cut_within_a_page(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size - 100)


def no_database(database: Path) -> None:
    database.write_bytes(b"This is a letter, not a database. " * 1000)


@pytest.mark.parametrize("damage", [torn_last_page, half_a_file, cut_within_a_page, no_database])
async def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    database = await lived_in(tmp_path)
    damage(database)
    refused = await refusal_of(tmp_path)
    assert refused.code is ErrorCode.WRONG_STATE
    assert "is damaged" in refused.problem
    assert "restore the data directory from a backup" in refused.mend


@pytest.mark.parametrize("seed", range(8))
async def test_garbage_in_any_page_is_refused(tmp_path: Path, seed: int) -> None:
    database = await lived_in(tmp_path)
    size, chance = page_size(database), random.Random(seed)
    page = chance.randrange(database.stat().st_size // size)
    overwrite(database, page * size, chance.randbytes(size))
    assert (await refusal_of(tmp_path)).code is ErrorCode.WRONG_STATE


@pytest.mark.parametrize("how", ["missing", "empty"])
async def test_a_database_that_is_gone_is_not_made_anew_over_its_blobs(tmp_path: Path, how: str) -> None:
    database = await lived_in(tmp_path)
    database.unlink()
    if how == "empty":
        database.touch()
    refused = await refusal_of(tmp_path)
    assert refused.code is ErrorCode.WRONG_STATE
    assert how in refused.problem
    assert database.exists() == (how == "empty")


async def test_a_database_of_a_newer_potluck_is_refused(tmp_path: Path) -> None:
    database = await lived_in(tmp_path)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    refused = await refusal_of(tmp_path)
    assert refused.code is ErrorCode.WRONG_STATE
    assert "'9999' of a newer Potluck" in refused.problem


async def test_a_database_that_another_process_has_to_itself_is_busy_and_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.store.database._BUSY_TIMEOUT_S", 0.05)
    database = await lived_in(tmp_path)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM events")
        with pytest.raises(Refused) as refused:
            async with open_world(tmp_path):
                pass
        other.execute("ROLLBACK")
    assert refused.value.code is ErrorCode.BUSY
    assert "locked" in refused.value.problem
    async with open_world(tmp_path) as world:
        assert (await world.federation.views.tasks())[0]["version"] == 1


async def test_a_server_writes_as_it_did_once_another_process_lets_go_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.store.database._BUSY_TIMEOUT_S", 0.05)
    database = await lived_in(tmp_path)
    async with open_world(tmp_path) as world:
        task = (await world.federation.views.tasks())[0]["task_id"]
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        submission = await ann.prepared(task, 2, 1.0)
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Refused) as refused:
                await world.federation.submissions.submit(ann.row, submission)
            assert (await world.round(task, 2))["submitted"] == 0, "readers go on"
            other.execute("ROLLBACK")
        assert refused.value.code is ErrorCode.BUSY
        assert "repeat the call" in refused.value.mend
        receipt = await world.federation.submissions.submit(ann.row, submission)
        assert await world.federation.submissions.submit(ann.row, submission) == receipt
        await bob.submit(task, 2, 2.0)
        await world.review()
        assert (await world.round(task, 2))["state"] == "closed"
