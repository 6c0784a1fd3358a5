from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
from forked import ForkedChildren
from lives import Lives
from machine import Machine
from outside import missing
from small_federation import SmallChunks

from edge_client.connection import Connection


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the fault matrix, if its tests ran: what each one recorded as its property `fault`."""
    reports = terminalreporter.getreports("passed")
    rows = [
        value
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == "fault"
    ]
    if rows:
        terminalreporter.section("fault matrix")
        for fault, point, outcome in rows:
            terminalreporter.write_line(f"{point:<20} {fault:<10} {outcome}")


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heard() -> Iterator[None]:
    """Also where a shell runs the tests in the background and has them ignore SIGINT: children would inherit that."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ForkedChildren(tmp_path / "logs") as children:
        yield Machine(tmp_path, children)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine whose server runs for all tests that only talk to it."""
    folder = tmp_path_factory.mktemp("shared")
    with ForkedChildren(folder / "logs") as children:
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


@pytest.fixture
async def lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lives]:
    """A server that can die and begin again, and nodes that ask again at once and need several chunks in-band."""
    monkeypatch.setattr("edge_client.node.Lanes", SmallChunks)
    monkeypatch.setattr("edge_client.node.Connection", partial(Connection, pauses=lambda: repeat(0.1)))
    lives = Lives(tmp_path)
    yield lives
    lives.end()
