"""An audit hook: Python's own events, refused one by one. It says in words what code tried.

It is the weakest fence and no wall. Python code can replace what the hook calls, and machine code passes it by; the
kernel's fences stand behind it. It is built within a function, so that nothing it goes by lies in a module's globals,
and it tells each attempt at once, so that none can be taken back. It cannot be taken down, so it is put up last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any


class Barred(PermissionError):
    """What the hook raises."""


def stand_guard(writable: str, readable: Sequence[str], hidden: Sequence[str], tell: Callable[[str], None]) -> None:
    """Put the hook up for good.

    Relative paths are taken from the folder in which this process is; it cannot go to another, nor open a folder
    for names to be looked up in.

    Args:
        writable: the folder that may be written.
        readable: folders and files that may be read besides.
        hidden: folders among those that may not.
        tell: is told what is refused, in words, caught or not; the first twenty times.
    """
    realpath, is_folder, fsdecode, least = os.path.realpath, os.path.isdir, os.fsdecode, Barred
    writes = (f"{realpath(writable)}/",)
    reads = (*writes, *(f"{realpath(place)}/" for place in readable))
    never = tuple(f"{realpath(place)}/" for place in hidden)
    barred = (
        "socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.startfile",
        "os.kill", "os.putenv", "os.symlink", "os.link", "os.chown", "os.lockf", "os.chdir", "os.fchdir",
        "os.setxattr", "os.removexattr", "os.getxattr", "pty.", "ctypes.", "signal.", "shutil.", "mmap.", "gc.get_",
        "pickle.find_class", "sys.addaudithook", "sys.setprofile", "sys.settrace", "sys._current", "urllib.",
        "http.", "ftplib.", "smtplib.", "imaplib.", "poplib.", "telnetlib.", "webbrowser.", "fcntl.", "resource.",
        "syslog.", "sqlite3.", "code.__new__", "cpython.", "builtins.input", "builtins.breakpoint",
    )  # fmt: skip
    changes = ("os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.truncate", "os.chmod", "os.utime")
    looks = ("os.listdir", "os.scandir")
    writing_flags = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    told = [None] * 20

    def bar(what: str) -> None:
        if told:
            told.pop()
            tell(what[:200])
        raise least(f"the sandbox's audit hook refuses {what[:200]}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int):
                return
            name, writing = fsdecode(path), bool((flags or 0) & writing_flags)
            real = f"{realpath(name)}/"
            if real.startswith(never) or not real.startswith(writes if writing else reads) or is_folder(real):
                bar(f"open of {name!r} for {'writing' if writing else 'reading'}")
        elif event in changes or event in looks:
            for path in arguments:
                if isinstance(path, str | bytes):
                    real = f"{realpath(fsdecode(path))}/"
                    if real.startswith(never) or not real.startswith(reads if event in looks else writes):
                        bar(f"{event} of {fsdecode(path)!r}")
        elif event.startswith(barred) or (event == "object.__setattr__" and arguments[1] == "__code__"):
            bar(event)

    sys.addaudithook(hook)
