"""An audit hook: Python's own events, refused one by one. It says in words what code tried.

It is no wall. Machine code, or Python that reaches into the interpreter's memory, passes it by; the namespaces and the
filter of system calls stand behind it. And it cannot be taken down again, so it is put up last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

MOST_ATTEMPTS = 20
_BARRED = (
    "socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.startfile",
    "os.kill", "os.putenv", "pty.", "ctypes.", "signal.", "shutil.", "os.symlink", "os.link", "os.chown", "os.lockf",
    "os.setxattr", "os.removexattr", "gc.get_", "sys.addaudithook", "sys.setprofile", "sys.settrace", "sys._current",
    "pickle.find_class", "urllib.", "http.", "ftplib.", "smtplib.", "imaplib.", "poplib.",
    "telnetlib.", "webbrowser.", "fcntl.", "resource.", "syslog.", "sqlite3.", "code.__new__", "cpython.",
    "builtins.input", "builtins.breakpoint",
)  # fmt: skip
_CHANGES = ("os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.truncate", "os.chmod", "os.utime")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Barred(PermissionError):
    """What the hook raises."""


def stand_guard(writable: str, readable: Sequence[str], hidden: Sequence[str]) -> list[str]:
    """Put the hook up for good.

    Args:
        writable: the folder that may be written.
        readable: folders and files that may be read besides.
        hidden: folders among those that may not.

    Returns:
        What has been refused so far, in words; it grows, caught or not.
    """
    attempts: list[str] = []
    writes = (os.path.realpath(writable),)
    reads = (*writes, *(os.path.realpath(place) for place in readable))
    sys.addaudithook(_hook(attempts, writes, reads, [os.path.realpath(place) for place in hidden]))
    return attempts


def _hook(
    attempts: list[str], writes: Sequence[str], reads: Sequence[str], hidden: Sequence[str]
) -> Callable[[str, tuple[Any, ...]], None]:
    refused = frozenset({"os.symlink", "os.link"})

    def bar(what: str) -> None:
        if len(attempts) < MOST_ATTEMPTS:
            attempts.append(what[:200])
        raise Barred(f"the sandbox's audit hook refuses {what[:200]}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int):
                return
            writing = bool((flags or 0) & _WRITING)
            if _within(path, hidden) or not _within(path, writes if writing else reads):
                bar(f"open of {os.fsdecode(path)!r} for {'writing' if writing else 'reading'}")
        elif event in _CHANGES:
            for path in arguments:
                if isinstance(path, str | bytes) and not _within(path, writes):
                    bar(f"{event} of {os.fsdecode(path)!r}")
        elif event in refused or event.startswith(_BARRED):
            bar(event)

    return hook


def _within(path: Any, places: Sequence[str]) -> bool:
    real = os.path.realpath(os.fsdecode(path))
    return any(real == place or real.startswith(f"{place}{os.sep}") for place in places)
