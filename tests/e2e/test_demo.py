"""The first minute."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file


def _demo(*flags: str, timeout: float = 170) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "potluck.cli", "demo", "--exit", "--port", "0", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def _end(demo: subprocess.Popen[str]) -> None:
    """SIGTERM, which it hands to its server and nodes, and SIGKILL if it does not heed it."""
    demo.terminate()
    try:
        demo.wait(20)
    except subprocess.TimeoutExpired:
        demo.kill()


@pytest.mark.timeout(180)
def test_the_demo_trains_digits_over_both_transports_and_says_where_everything_is() -> None:
    ran = _demo()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    accuracy = re.search(r"^final accuracy (0\.\d{3})$", ran.stdout, re.MULTILINE)
    assert accuracy is not None, ran.stdout
    assert float(accuracy[1]) >= 0.93
    assert len(re.findall(r"^ +[1-5] +0\.\d+ .* 4/4 +closed$", ran.stdout, re.MULTILINE)) == 5, "a line a round"
    model = re.search(r"^model +(\S+)$", ran.stdout, re.MULTILINE)
    assert model is not None
    weights = load_file(model[1])
    assert sum(tensor.numel() for tensor in weights.values()) == 64 * 64 + 64 + 64 * 10 + 10
    database = re.search(r"^database +(\S+)$", ran.stdout, re.MULTILINE)
    assert database is not None
    assert Path(database[1]).exists()
    assert "\x1b" not in ran.stdout, "no control characters in a pipe"


@pytest.mark.timeout(180)
def test_a_demo_that_stays_can_be_called_with_what_it_prints_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "potluck.cli", "demo", "--port", "0", "--nodes", "2", "--rounds", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        try:
            assert demo.stdout is not None
            said = ""
            for line in demo.stdout:
                said += line
                if line.startswith("Serving"):
                    break
            client = json.loads(said[said.index("{") : said.rindex("}") + 1])["mcpServers"]["potluck"]
            token = client["headers"]["Authorization"].removeprefix("Bearer ")
            call = [sys.executable, "-m", "potluck.cli", "call", client["url"], "list_tasks", "--token", token]
            listed = json.loads(subprocess.run(call, capture_output=True, text=True, timeout=60, check=True).stdout)
            demo.send_signal(signal.SIGINT)
            rest, _ = demo.communicate(timeout=60)
        except BaseException:
            _end(demo)  # else leaving the context would wait for a demo that stays for ever
            raise
    assert [task["state"] for task in listed["tasks"]] == ["finished"]
    assert demo.returncode == 0
    assert "stopped; its files stay in" in rest
