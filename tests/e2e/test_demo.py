"""The first minute."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file


def _demo(*flags: str, timeout: float = 170) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "potluck.cli", "demo", "--exit", "--port", "0", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


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
    assert '"mcpServers"' in ran.stdout
    assert "\x1b" not in ran.stdout, "no control characters in a pipe"
