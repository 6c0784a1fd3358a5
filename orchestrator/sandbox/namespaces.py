"""Linux namespaces around this process: no network, no view of other processes, nothing to write but one folder.

They are entered before anything starts a thread, with ctypes, since Python has words for them only from 3.12 on. Where
the kernel or a container forbids them, the code runs without, and the answer says so.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.sandbox import privileges

_NEWNS, _NEWUTS, _NEWIPC = 0x20000, 0x4000000, 0x8000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC, _RDONLY = 2, 4, 8, 1
_REC_PRIVATE = 0x4000 | 0x40000
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_SET_PDEATHSIG = 1
_ALL = _NEWUSER | _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def enter(folder: Path, hidden: Sequence[Path], *, room: int, leaving: Sequence[int]) -> list[str]:
    """Go on in namespaces, in a child of a child of this process, which waits for it and ends as it ends.

    Args:
        folder: the only one that can be written, empty and of `room` bytes, in memory.
        hidden: folders whose content cannot be seen.
        leaving: descriptors that only the code is to hold.

    Returns:
        What holds, in words: "user", "network", "process" namespaces and so on; empty where there is nothing of it.
    """
    if sys.platform != "linux" or not _unshare():
        return []
    _go_on_in_a_child(leaving)  # the first process of the namespace: when it ends, all the others do
    held = ["user namespace", "network namespace", "process namespace"]
    with suppress(OSError):
        _mount_all(held, folder, hidden, room)
    if privileges.drop():
        held.append("no privileges")
    _go_on_in_a_child(leaving)  # the first process of a namespace ignores signals, a CPU limit's among them
    return held


def _unshare() -> bool:
    uid, gid = os.getuid(), os.getgid()
    if _libc().unshare(_ALL) != 0:
        return False
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return True


def _go_on_in_a_child(leaving: Sequence[int]) -> None:
    child = os.fork()
    if child == 0:
        _libc().prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        return
    privileges.drop()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in leaving:
        os.dup2(nothing, descriptor)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(status if status >= 0 else 128 - status)


def _mount_all(held: list[str], folder: Path, hidden: Sequence[Path], room: int) -> None:
    """Adds to `held` what holds, one by one: what fails leaves the fences before it standing."""
    _mount("none", "/", None, _REC_PRIVATE)
    _read_only("/", recursive=True)
    held.append("read-only file system")
    _mount("tmpfs", str(folder), "tmpfs", _NOSUID | _NODEV, f"size={room},nr_inodes=4k,mode=700")
    for place in hidden:
        _mount("tmpfs", str(place), "tmpfs", _NOSUID | _NODEV | _NOEXEC | _RDONLY, "size=4k,mode=755")
        held.append(f"hidden {place.name}")
    with suppress(OSError):  # containers forbid it where they cover parts of their own
        _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
        held.append("own /proc")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, options)]
    if _libc().mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]) != 0:
        raise _error(target)


def _read_only(target: str, *, recursive: bool) -> None:
    wanted = _Attributes(attr_set=_RDONLY)
    flags = _AT_RECURSIVE if recursive else 0
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    if _libc().syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, ctypes.byref(wanted), size) != 0:
        raise _error(target)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error(target: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), target)
