from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from world import World, open_world


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "data") as world:
        yield world
