"""The image without a container engine: what `Dockerfile` says, done in a new virtual environment and a new folder.

    python -m scripts.image [--keep FOLDER]

Copies what the image would copy, runs its `pip install` lines, starts its command, asks its health check, and stops it.
What only a container has (the base image, the user, the port) is named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.web import ROOT

PORT = 7860
_START_S = 120.0


@dataclass(frozen=True)
class Step:
    """One instruction of the Dockerfile: `RUN` and what it runs."""

    word: str
    text: str


def steps(dockerfile: str) -> list[Step]:
    """The instructions, in order; lines that go on are one."""
    whole = re.sub(r"\s*\\\n\s*", " ", dockerfile)
    lines = [line.strip() for line in whole.splitlines() if line.strip() and not line.startswith("#")]
    return [Step(*line.split(maxsplit=1)) for line in lines]


def only(found: Sequence[Step], word: str) -> str:
    """The text of the one instruction of its kind."""
    (step,) = [step for step in found if step.word == word]
    return step.text


def copied(folder: Path) -> None:
    """What git tracks of what .dockerignore lets in: what `COPY . .` takes from a clean checkout."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!").strip() for line in lines if line.startswith("!")}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607
    for name in listed.splitlines():
        if Path(name).parts[0] in let_in:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def run(found: Sequence[Step], folder: Path) -> None:
    """Does what the instructions say, in `folder`; raises CalledProcessError, or TimeoutError for a silent server."""
    app, home = folder / "app", folder / "venv"
    app.mkdir()
    venv.create(home, with_pip=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("POTLUCK_", "PYTHON"))}
    environment |= {"VIRTUAL_ENV": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)}
    arguments = dict(step.text.split("=", 1) for step in found if step.word == "ARG")
    environment |= {name: os.environ.get(name, value) for name, value in arguments.items()}
    if not environment.get("TORCH_INDEX"):
        environment["TORCH_INDEX"] = ""
    for step in found:
        if step.word == "COPY":
            copied(app)
        elif step.word == "RUN" and "pip install" in step.text:
            command = step.text if environment["TORCH_INDEX"] else step.text.replace("--index-url $TORCH_INDEX", "")
            print(f"RUN {command}", flush=True)
            subprocess.run(["/bin/sh", "-c", command], cwd=app, env=environment, check=True)
        elif step.word not in ("CMD", "ARG", "ENV"):
            print(f"left out: {step.word} {step.text}", flush=True)
    environment |= {"POTLUCK_PORT": str(PORT)}
    health = json.loads(only(found, "HEALTHCHECK").removeprefix("CMD "))
    with subprocess.Popen(json.loads(only(found, "CMD")), cwd=app, env=environment) as server:
        try:
            _wait_for(health, server, environment)
            print("healthy", flush=True)
            page = f"http://127.0.0.1:{PORT}/"
            subprocess.run(
                [
                    health[0],
                    "-c",
                    f"import urllib.request as r; print(r.urlopen({page!r}, timeout=60).status, {page!r})",
                ],
                env=environment,
                check=True,
            )
        finally:
            server.send_signal(signal.SIGTERM)
    print(f"the server ended with {server.returncode}", flush=True)


def _wait_for(health: list[str], server: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    until = time.monotonic() + _START_S
    while subprocess.run(health, env=environment, stderr=subprocess.DEVNULL, check=False).returncode:
        if server.poll() is not None or time.monotonic() > until:
            raise TimeoutError(f"{shlex.join(health)} never succeeded")
        time.sleep(1)


def main() -> None:
    """Does it, in a temporary folder unless told to keep one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="a new folder to do it in, and to leave there")
    keep: Path | None = parser.parse_args().keep
    found = steps((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    began = time.monotonic()
    if keep is not None:
        keep.mkdir(parents=True)
        run(found, keep)
    else:
        with tempfile.TemporaryDirectory(prefix="potluck-image-") as folder:
            run(found, Path(folder))
    print(f"done in {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
