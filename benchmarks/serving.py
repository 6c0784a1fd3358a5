"""Server processes to measure: Potluck's own, and bare ones to stand beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import NotMeasured

OPERATOR = "operator-token-of-the-benchmark"
START_S = 120.0


@dataclass(frozen=True)
class Serving:
    """A server that accepts connections."""

    url: str
    pid: int
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)


@contextmanager
def potluck(*flags: str, module: str = "potluck.cli") -> Iterator[Serving]:
    """`potluck serve` on a new data directory and a free port; `module` may stand in for the command line."""
    with tempfile.TemporaryDirectory(prefix="potluck-bench-") as name:
        folder = Path(name)
        arguments = ["serve", "--port", "0", "--data-dir", str(folder / "data"), "--log-level", "WARNING", *flags]
        command = [sys.executable, "-m", module, *arguments]
        address = folder / "data" / "server.json"
        with child(command, folder / "server.log", {"POTLUCK_OPERATOR_TOKEN": OPERATOR}) as process:
            wait_until(address.exists, process, folder / "server.log")
            yield Serving(json.loads(address.read_text())["url"], process.pid, folder)


@contextmanager
def bare(module: str, *arguments: str) -> Iterator[Serving]:
    """`python -m MODULE FILE …`, which writes its URL to FILE once it accepts connections."""
    with tempfile.TemporaryDirectory(prefix="potluck-bench-") as name:
        folder = Path(name)
        address = folder / "url"
        command = [sys.executable, "-m", module, str(address), *arguments]
        with child(command, folder / "server.log") as process:
            wait_until(lambda: address.exists() and bool(address.read_text()), process, folder / "server.log")
            yield Serving(address.read_text(), process.pid, folder)


@contextmanager
def child(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the context, its output in `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and insist after ten seconds."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, timeout: float = START_S
) -> None:
    """Returns when `condition()` holds; raises NotMeasured with the end of the log when it does not come to that."""
    until = time.monotonic() + timeout
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            raise NotMeasured(f"a server did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.02)
