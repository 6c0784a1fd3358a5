"""Debian's Chromium, headless, as a person has it: its own policy checks, storage and locks, WebGPU on SwiftShader."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from outside import missing

NAMED = "potluck.test"
"""A name of this machine that browsers do not take for secure, as they do localhost."""
WEBGPU = "--enable-unsafe-webgpu"
"""Without it, headless Chromium has no software adapter."""
FLAGS = [
    "--no-sandbox",  # tests run as root in containers
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {NAMED} 127.0.0.1",
]


def program() -> str:
    """Where Chromium is; its absence skips the test, or fails it in CI."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("no chromium: apt-get install chromium libvulkan1, or name one in CHROMIUM")
    return found


def processes_of(profile: Path) -> list[int]:
    """The browser that works on this profile, and all its children."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid, command = int(folder.name), (folder / "cmdline").read_bytes()
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
        if f"--user-data-dir={profile}".encode() in command.split(b"\0"):
            found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return sorted(found)
