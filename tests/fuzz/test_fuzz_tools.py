"""Strange arguments for every tool: each call is refused in words or granted, and a refusal leaves no trace."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.fuzz.surface import check_alive
from tests.fuzz.tool_calls import Tool, tools_of
from tests.mcp_server.running import serving
from tools.catalogue import TOOLS

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def surfaces(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[dict[str, Tool]]:
    async with serving(tmp_path_factory.mktemp("fuzzed"), predictions_per_minute=0) as served:
        yield {tool.name: tool for tool in await tools_of(served)}


@pytest.mark.parametrize("name", [entry.name for entry in TOOLS])
async def test_no_argument_breaks_a_tool(surfaces: dict[str, Tool], name: str) -> None:
    tool = surfaces[name]
    outcomes = {await tool.throw(case) for case in tool.cases(20, seed=1)}
    assert "invalid_argument" in outcomes, "some of it is strange"
    await check_alive(tool.served)
