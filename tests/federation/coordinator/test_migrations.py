"""Data directories of every earlier schema go on. A new migration is covered without a word here."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, create_engine, insert
from world import open_world

from federation.store.examine import examine
from federation.store.migrate import known_revisions, upgrade

pytestmark = pytest.mark.anyio

Row = dict[str, Any]


async def lived_in(data_dir: Path) -> str:
    """A federation with a closed round, one that collects with an update in it, and its task."""
    async with open_world(data_dir) as world:
        task = await world.task()
        ann, bob = await world.node("ann"), await world.node("bob")
        for number in (1, 2):
            await ann.ask(task), await bob.ask(task)
            await ann.submit(task, number, 1.0)
            if number == 1:
                await bob.submit(task, number, 2.0)
                await world.review()
        return task


def take_back(database: Path, revision: str) -> None:
    """Makes the database anew in an earlier schema, with the rows as far as that one has room for them."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in names}
    database.unlink()
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        upgrade(connection, revision)
        earlier = MetaData()
        earlier.reflect(connection)
        for table in earlier.sorted_tables:
            if table.name != "alembic_version":
                fitting = [_fitting(row, table) for row in rows.get(table.name, [])]
                connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
                for row in fitting:
                    connection.execute(insert(_untyped(table)).values(row))
    engine.dispose()


def _fitting(row: Row, table: Table) -> Row:
    """The row with the columns that the table has; what it needs and the row lacks is empty."""
    known = {column.name: row[column.name] for column in table.columns if column.name in row}
    needed = [c for c in table.columns if not c.nullable and c.server_default is None and c.name not in known]
    return known | {c.name: 0 if c.type.python_type in (int, float, bool) else "" for c in needed if not c.primary_key}


def _untyped(table: Table) -> Table:
    """The table as SQLite stores it, so that JSON which was read as text is written as the same text."""
    return Table(table.name, MetaData(), *(Column(column.name) for column in table.columns))


@pytest.mark.parametrize("revision", known_revisions())
async def test_a_federation_of_an_earlier_schema_goes_on(tmp_path: Path, revision: str) -> None:
    task = await lived_in(tmp_path)
    take_back(tmp_path / "potluck.db", revision)
    async with open_world(tmp_path) as world:
        assert (await world.round(task, 1))["state"] == "closed"
        assert (await world.weights(task, 1)).tolist() == [1.5, 1.5, 1.5]
        ann, bob = await world.node("ann"), await world.node("bob")
        assert (await ann.ask(task)).partition_index == 0
        receipt = await ann.submit(task, 2, 1.0)
        await bob.submit(task, 2, 2.0)
        await world.review()
        assert (await world.round(task, 2))["submitted"] == 2, "the update that was there counts once"
        assert receipt.round == 2
        await ann.ask(task), await bob.ask(task)
        await ann.submit(task, 3, 1.0), await bob.submit(task, 3, 2.0)
        await world.review()
        view = await world.federation.views.task(task, private=True)
        assert (view["state"], view["version"], len(view["nodes"])) == ("finished", 3, 2)
    examine(tmp_path / "potluck.db", busy_timeout_s=1)


def test_there_is_one_line_of_schemas() -> None:
    assert len(known_revisions()) == len(set(known_revisions())) >= 1
    assert known_revisions()[0] == "0001"
