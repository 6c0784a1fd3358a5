"""Every bash and Python block of a tutorial runs, in order, in one shell and against a real server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, page

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorials use curl"),
]
_TIMEOUT_S = 100
TUTORIALS = ("first_federation", "node_as_library", "simulation", "browser_node", "language_model", "agent")


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    port = free_port()
    script = as_script(page(f"docs/tutorials/{name}.md")).replace("127.0.0.1:7860", f"127.0.0.1:{port}")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("POTLUCK_")} | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error,ignore::FutureWarning",  # PEFT asks transformers by a deprecated name
        "OMP_NUM_THREADS": "1",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "POTLUCK_PORT": str(port),
    }
    output = tmp_path / "output"
    with output.open("wb") as sink:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(_TIMEOUT_S)
        finally:
            end_group(shell.pid)
    assert code == 0, output.read_text(errors="replace")


def test_the_pages_show_no_block_that_could_run_and_is_not_run() -> None:
    for name in TUTORIALS:
        languages = {block.language for block in blocks(page(f"docs/tutorials/{name}.md"))}
        assert languages <= {"bash", "python", "text"}


def as_script(text: str) -> str:
    """The runnable blocks of a page as one script; each Python block is a program of its own."""
    parts = []
    for block in blocks(text):
        if block.language == "bash":
            parts.append(block.code)
        elif block.language == "python":
            parts.append(f"python <<'END_OF_BLOCK'\n{block.code}END_OF_BLOCK\n")
    return "\n".join(parts)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_group(group: int) -> None:
    """End what the script left running: its session is a process group of its own."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
