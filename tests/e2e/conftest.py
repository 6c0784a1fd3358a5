from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from machine import Machine

from potluck.processes import Children


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Children(tmp_path / "logs") as children:
        yield Machine(tmp_path, children)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine whose server runs for all tests that only talk to it."""
    folder = tmp_path_factory.mktemp("shared")
    with Children(folder / "logs") as children:
        machine = Machine(folder, children)
        machine.start_server()
        yield machine


@pytest.fixture(scope="session")
def npm() -> Path:
    """The packages of tests/e2e/npm. Where they cannot be had, a skip; in CI, a failure."""
    from benchmarks.npm import NotInstalled, node_modules

    try:
        return node_modules()
    except NotInstalled as problem:
        missing(str(problem))


def missing(what: str) -> NoReturn:
    """Something outside this checkout is not there."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
