"""Virtual environments for peers, made on first use and kept: their requirements are not Potluck's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.report import NotMeasured

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "potluck-bench"
COMPLETE = "complete"


def installed(home: Path, marker: str = COMPLETE) -> Path | None:
    """The environment, if all of it is there."""
    return home if (home / marker).exists() else None


def install(home: Path, requirements: Sequence[str], marker: str = COMPLETE) -> Path:
    """Makes the environment unless it is there; raises NotMeasured with pip's own words when that fails.

    Args:
        marker: the file that is there when everything is; by default one that is written then.
    """
    if installed(home, marker) is None:
        print(f"installing {' '.join(requirements)} into {home} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", *requirements]
        done = subprocess.run(pip, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr[-2000:]]
            raise NotMeasured(f"{requirements[0]} cannot be installed: {' '.join(errors)}")
        (home / COMPLETE).touch()
    return home


def same_torch() -> str:
    """The torch that runs here, as a requirement: peers compute with the same one, and nobody fetches CUDA for a CPU.

    A build that is on no index of pip's (`+cpu`) needs PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS, as it did here.
    """
    return f"torch=={metadata.version('torch')}"
