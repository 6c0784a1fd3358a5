"""An environment with Flower in it, kept between runs: what Flower pins is its own, all else this environment's."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

from outside import missing

ROOT = Path(__file__).parents[2]
_INSTALL_S = 240


def flower_python() -> Path:
    """The interpreter of an environment that has the extra `flower`. Where that cannot be had: a skip, a failure in CI.

    Flower pins narrower than this environment has, so its packages go into the environment itself, where Python finds
    them first; PyTorch and the rest of Potluck's are found in this one, by a path file.
    """
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted, here = extras["flower"], sysconfig.get_path("purelib")
    name = hashlib.sha256(repr((wanted, here, sys.version)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"potluck-flower-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        missing(f"{folder} is somebody else's")
    python, done = folder / "bin" / "python", folder / "done"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers want it at once
        if done.exists():
            return python
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=60)
            subprocess.run(install, check=True, capture_output=True, timeout=_INSTALL_S)
        except (subprocess.SubprocessError, OSError) as error:
            said = getattr(error, "stderr", b"") or b""
            missing(f"no environment with Flower can be made: {error} {said.decode(errors='replace')[-300:]}")
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "parent.pth").write_text(f"{here}\n")
        done.touch()
    return python
