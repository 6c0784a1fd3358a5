"""A server from its first start to its last stop."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from machine import Machine

from mcp_server.edge import is_built
from potluck.processes import Children

TOKEN = re.compile(r"^operator token +(pl_\S+)", re.MULTILINE)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Its server is started by the command line, as people start it."""
    with Children(tmp_path / "logs") as children:
        yield Machine(tmp_path, children)


def potluck(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "potluck.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_first_start_says_how_to_get_the_operators_token_and_it_works_for_ever(machine: Machine) -> None:
    machine.start_server(operator=None)
    assert f"operator token  potluck token --data-dir {machine.data_dir}" in machine.said()
    assert TOKEN.search(machine.said()) is None, "a log that is kept is no place for it"
    first = potluck("token", "--data-dir", str(machine.data_dir)).stdout.strip()
    assert f"potluck join {machine.url} --task TASK_ID --token NODE_TOKEN" in machine.said()
    assert "accepted hosts  127.0.0.1, localhost, [::1]" in machine.said()
    page = f"{machine.url}/edge/" if is_built() else "not built: `make web`"
    assert f"in a browser    {page}" in machine.said()
    assert machine.stop_server() == 0
    machine.start_server(operator=None)
    assert "operator token" not in machine.said()
    assert potluck("token", "--data-dir", str(machine.data_dir)).stdout.strip() == first
    issued = potluck("token", machine.url, "--token", first, "--role", "viewer")
    assert issued.stdout.startswith("pl_"), issued.stderr


def test_a_stopped_server_leaves_its_data_directory_in_order(machine: Machine) -> None:
    machine.start_server()
    with httpx2.Client() as client:
        assert client.get(f"{machine.url}/healthz").json() == {"status": "ok"}
        assert machine.stop_server() == 0
    left = {path.name for path in machine.data_dir.iterdir()}
    assert left == {".gitignore", "lock", "potluck.db", "server.key", "spool"}, "no address, no write-ahead log"
    assert (machine.data_dir / "server.key").stat().st_mode & 0o777 == 0o600
    assert "Traceback" not in machine.said()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--open", "--host", "0.0.0.0"), "refused on 0.0.0.0"),
        (("--conformance", "--host", "0.0.0.0"), "--conformance offers tools"),
        (("--ssl-certfile", "cert.pem"), "both ssl_certfile and ssl_keyfile"),
        (("--data-dir", "/proc/nowhere"), "cannot be a data directory"),
        (("--config", "/nowhere.toml"), "there is no file"),
        (("--base-path", "no-slash"), "base_path"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_line(flags: tuple[str, ...], says: str) -> None:
    ran = potluck("serve", "--port", "0", *flags)
    assert ran.returncode == 1
    assert says in ran.stderr
    assert "Mend:" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("port", ["0", "the same"])
def test_a_second_server_on_a_data_directory_is_refused_by_the_first_ones_process(machine: Machine, port: str) -> None:
    machine.start_server()
    port = machine.url.rpartition(":")[2] if port == "the same" else port
    ran = potluck("serve", "--port", port, "--data-dir", str(machine.data_dir))
    assert ran.returncode == 1
    assert f"runs as process {machine.children.pid(machine.server)} at {machine.url}." in ran.stderr
    assert httpx2.get(f"{machine.url}/healthz").status_code == 200
