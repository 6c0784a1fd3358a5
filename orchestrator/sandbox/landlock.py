"""The kernel's own rules for files (Landlock), which any process may lay upon itself and none can take off again.

They hold by what is opened, not by the name that was asked for: neither a relative path, nor a folder's descriptor, nor
machine code passes them. They leave alone what was open before, and do not hide that a file exists.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # on every architecture
_ASK_VERSION, _PATH_BENEATH, _SET_NO_NEW_PRIVS = 1, 1, 38
_LEAST_VERSION = 3  # from here on (Linux 6.2) truncating needs leave, too
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_UP_TO_TRUNCATE, _TCP, _SCOPES = (1 << 15) - 1, 0b11, 0b11
_NEW_FILES = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8  # remove folders and files, make folders and files


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict(writable: str, readable: Sequence[str]) -> bool:
    """Leave this process these files and folders, and no TCP; whether that holds.

    It holds for this thread and those that it will start: where others run already, nothing is claimed.
    """
    if sys.platform != "linux" or len(os.listdir("/proc/self/task")) != 1:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < _LEAST_VERSION:
        return False
    wanted = _Ruleset(_UP_TO_TRUNCATE | (_IOCTL if version >= 5 else 0))
    wanted.network = _TCP if version >= 4 else 0
    wanted.scoped = _SCOPES if version >= 6 else 0  # signals, and sockets without a path
    size = ctypes.c_size_t(24 if version >= 6 else 16 if version >= 4 else 8)
    rules = libc.syscall(_CREATE, ctypes.byref(wanted), size, 0)
    if rules < 0:
        return False
    try:
        for place in readable:
            with suppress(OSError):  # not every machine has them all
                _allow(libc, rules, place, _READ_FILE | _READ_DIR)
        _allow(libc, rules, os.devnull, _READ_FILE | _WRITE_FILE)
        _allow(libc, rules, writable, _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE | _NEW_FILES)
        libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT, rules, 0) == 0)
    except OSError:
        return False
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, place: str, access: int) -> None:
    descriptor = os.open(Path(place), os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        beneath = _Beneath(access, descriptor)
        if libc.syscall(_ADD, rules, _PATH_BENEATH, ctypes.byref(beneath), 0) != 0:
            raise OSError(ctypes.get_errno(), "no rule can be made", place)
    finally:
        os.close(descriptor)
