from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.mcp_server.running import Served, serving


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    """One server for a module's tests, each with tasks and nodes of its own. Anonymous callers are viewers."""
    async with serving(tmp_path_factory.mktemp("served")) as running:
        yield running
