"""Gives up every privilege for good: Linux capabilities, and the ways to get some back.

Whoever makes a user namespace holds all capabilities in it, those to move and copy mounts among them, and with these
takes down the very mounts that are to hold. So they go once the mounts stand, in every process that is left there.
"""

from __future__ import annotations

import ctypes
import sys

_CAPBSET_DROP, _SET_SECUREBITS, _SET_NO_NEW_PRIVS, _AMBIENT, _AMBIENT_CLEAR_ALL = 24, 28, 38, 47, 4
_LOCKED_SECUREBITS = 0xEF  # no capabilities for uid 0, none ambient, and all of that locked
_VERSION_3, _MOST_CAPABILITIES = 0x20080522, 64


def drop() -> bool:
    """Of this thread and those that it will start; whether none are left. Call it before there are others."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_SECUREBITS, _LOCKED_SECUREBITS, 0, 0, 0)  # needs a capability, as does the next
    for capability in range(_MOST_CAPABILITIES):
        libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    head, none = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    return bool(libc.capset(head, none) == 0 and libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
