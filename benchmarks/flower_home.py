"""Flower in a virtual environment of its own, made on first use and kept: its requirements are not Potluck's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.report import NotMeasured

VERSION = "1.41.0"
HOME = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "potluck-bench" / f"flower-{VERSION}"


def installed(home: Path) -> Path | None:
    """The environment, if Flower is installed there."""
    return home if (home / "bin" / "flower-superlink").exists() else None


def install(home: Path) -> Path:
    """Makes the environment unless it is there; raises NotMeasured with pip's own words when that fails."""
    if installed(home) is None:
        print(f"installing flwr=={VERSION} into {home} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", f"flwr=={VERSION}"]
        done = subprocess.run(pip, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise NotMeasured(f"Flower cannot be installed:\n{done.stderr[-2000:]}")
    return home
