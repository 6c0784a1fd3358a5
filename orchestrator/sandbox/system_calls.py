"""A filter of system calls (seccomp): no new process, program, connection or signal, whatever language asks for it.

What is refused fails with EPERM. It needs no privilege, holds for all threads and cannot be taken back.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import sys

_FORBIDDEN: dict[str, tuple[int, int | None]] = {  # by their numbers on x86-64 and on 64-bit ARM, which has not all
    "socket": (41, 198), "socketpair": (53, 199), "bind": (49, 200), "connect": (42, 203),
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "ptrace": (101, 117), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "bpf": (321, 280),
    "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217),
}  # fmt: skip
_MACHINES = {"x86_64": (0, 0xC000003E, 56, 317), "aarch64": (1, 0xC00000B7, 220, 277)}
"""Their places above, their names for the kernel's audit, and the numbers of `clone` and `seccomp`."""
_CLONE3, _CLONE_THREAD = 435, 0x10000
_LOAD, _EQUALS, _AT_LEAST, _SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVS, _FILTER, _ALL_THREADS = 38, 1, 1


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def forbid() -> bool:
    """Put the filter up; False where it is not known how (another system or processor) or the kernel refuses."""
    known = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    place, architecture, clone, seccomp = known
    numbers = [number for call in _FORBIDDEN.values() if (number := call[place]) is not None]
    instructions = _program(architecture, clone, numbers)
    array = (_Instruction * len(instructions))(*instructions)
    program = _Program(len(instructions), array)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.syscall(seccomp, _FILTER, _ALL_THREADS, ctypes.byref(program)) == 0)


def _program(architecture: int, clone: int, numbers: list[int]) -> list[_Instruction]:
    """Each test is followed by what it leads to, so that no jump has to be counted."""
    refused, unknown = _Instruction(_RETURN, 0, 0, _ERROR | errno.EPERM), _ERROR | errno.ENOSYS
    steps = [_Instruction(_LOAD, 0, 0, _ARCHITECTURE), _Instruction(_EQUALS, 1, 0, architecture), refused]
    steps += [_Instruction(_LOAD, 0, 0, _NUMBER), _Instruction(_AT_LEAST, 0, 1, 0x40000000), refused]  # x32
    for number in numbers:
        steps += [_Instruction(_EQUALS, 0, 1, number), refused]
    steps += [_Instruction(_EQUALS, 0, 1, _CLONE3), _Instruction(_RETURN, 0, 0, unknown)]  # libc then uses clone
    steps += [_Instruction(_EQUALS, 1, 0, clone), _Instruction(_RETURN, 0, 0, _ALLOW)]
    steps += [_Instruction(_LOAD, 0, 0, _FIRST_ARGUMENT), _Instruction(_SET, 1, 0, _CLONE_THREAD), refused]
    return [*steps, _Instruction(_RETURN, 0, 0, _ALLOW)]
