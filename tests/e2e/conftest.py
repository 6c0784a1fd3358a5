from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
