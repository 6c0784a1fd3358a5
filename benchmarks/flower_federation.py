"""Flower's SuperLink and SuperNodes as processes, to be measured beside Potluck."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.process import cpu_seconds, family, memory
from benchmarks.report import NotMeasured
from benchmarks.serving import child

APP = Path(__file__).with_name("flower_app")
PATIENCE_S = 600.0
START_S = 60.0
_QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}


@dataclass(frozen=True)
class FlowerRun:
    """A finished run: seconds of each round but the first, CPU seconds of the server a round, its peak in bytes."""

    seconds: list[float]
    cpu_s: float
    peak: int


class Flower:
    """A federation that runs. The server is the SuperLink process and all that it starts."""

    def __init__(self, home: Path, folder: Path, superlink: int, environment: dict[str, str]) -> None:
        self._flwr = str(home / "bin" / "flwr")
        self._folder = folder
        self._environment = environment
        self._superlink = superlink
        self._runs = 0

    def run(self, megabytes: float, rounds: int, nodes: int) -> FlowerRun:
        """`flwr run`, until the app has written when its rounds ended; raises NotMeasured when it does not."""
        self._runs += 1
        times = self._folder / f"times-{self._runs}.json"
        config = f"rounds={rounds} megabytes={megabytes} nodes={nodes} times='{times}'"
        spent = {pid: cpu_seconds(pid) for pid in family(self._superlink)}
        peak = 0
        line = [self._flwr, "run", str(APP), "bench", "--run-config", config]
        asked = subprocess.run(line, env=self._environment, capture_output=True, text=True, timeout=120, check=False)
        latest = dict(spent)
        until = time.monotonic() + PATIENCE_S
        while asked.returncode == 0 and not times.exists() and time.monotonic() < until:
            together = 0
            for pid in family(self._superlink):
                try:
                    latest[pid], together = cpu_seconds(pid), together + memory(pid).pss
                except OSError:
                    continue  # it has just ended
            peak = max(peak, together)
            time.sleep(0.05)
        if not times.exists():
            raise NotMeasured(f"flwr run failed:\n{asked.stdout}{asked.stderr}\n{self._logs()}")
        ends = json.loads(times.read_text())
        cpu = sum(now - spent.get(pid, 0.0) for pid, now in latest.items())
        return FlowerRun([later - earlier for earlier, later in pairwise(ends[1:])], cpu / rounds, peak)

    def _logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(self._folder.glob("*.log")))


@contextmanager
def flower(home: Path, folder: Path, nodes: int) -> Iterator[Flower]:
    """A SuperLink and SuperNodes on free ports, from the environment `home`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **_QUIET, "FLWR_HOME": str(folder / "flwr"), "PATH": path}
    environment.pop("PYTHONPATH", None)
    server, *clients = _free_ports(nodes + 1)
    (folder / "flwr").mkdir(exist_ok=True)
    address = f"127.0.0.1:{server}"
    settings = f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "{address}"\ninsecure = true\n'
    (folder / "flwr" / "config.toml").write_text(settings)
    link = [str(home / "bin" / "flower-superlink"), "--insecure", "--disable-runtime-dependency-installation"]
    node = [str(home / "bin" / "flower-supernode"), "--insecure", "--superlink", address]
    with ExitStack() as stack:
        line = [*link, "--port", str(server)]
        superlink = stack.enter_context(child(line, folder / "superlink.log", environment))
        _until_listening(server)
        for number, port in enumerate(clients):
            line = [*node, "--port", str(port)]
            stack.enter_context(child(line, folder / f"supernode-{number}.log", environment))
        yield Flower(home, folder, superlink.pid, environment)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _until_listening(port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise NotMeasured(f"the SuperLink does not listen on port {port} after {START_S:.0f} s")
