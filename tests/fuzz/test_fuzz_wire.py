"""Strange HTTP, strange JSON-RPC, strange files: nothing breaks, nothing is written, and the server goes on."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator

import pytest

from tests.fuzz.surface import check_alive
from tests.fuzz.tensor_files import TensorFiles
from tests.fuzz.wire_calls import framing, older_transport, raw_lane
from tests.mcp_server.running import Served, serving

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]  # a thousand requests each


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """Each case would be worth a traceback to the SDK."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    """A server that does not wait long for bodies that were announced and never come."""
    async with serving(tmp_path_factory.mktemp("fuzzed"), body_timeout_s=0.1, sessions_per_minute=0) as running:
        yield running


async def test_no_request_breaks_the_raw_lane(served: Served) -> None:
    surface = await raw_lane(served)
    outcomes = {await surface.throw(case) for case in surface.cases(120, seed=2)}
    assert outcomes >= {"200", "400", "405", "409"}
    await check_alive(served)


async def test_no_message_breaks_the_endpoint(served: Served) -> None:
    surface = await framing(served)
    outcomes = {await surface.throw(case) for case in surface.cases(200, seed=3)}
    assert outcomes >= {"200 ok", "202", "400 rpc -32602"}
    await check_alive(served)


async def test_no_message_breaks_the_older_transport(served: Served) -> None:
    surface = await older_transport(served)
    outcomes = {await surface.throw(case) for case in surface.cases(100, seed=4)}
    assert outcomes >= {"202", "400", "404"}
    await check_alive(served)


async def test_no_file_breaks_the_reader_of_updates() -> None:
    surface = TensorFiles()
    try:
        outcomes = {await surface.throw(case) for case in surface.cases(400, seed=5)}
    finally:
        surface.close()
    assert outcomes >= {"header", "dtype", "missing"}
