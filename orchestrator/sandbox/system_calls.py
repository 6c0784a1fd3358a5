"""A filter of system calls (seccomp): what a training needs may be asked of the kernel, and nothing else.

It is a list of what is allowed, so that no call of a newer kernel slips by. What is refused fails with EPERM, or as a
call that this kernel does not know. It needs no privilege, holds for all threads and cannot be taken back.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import sys
from collections.abc import Sequence

_ALLOWED: dict[str, tuple[int, int | None]] = {  # by their numbers on x86-64 and on 64-bit ARM, which has not all
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70), "lseek": (8, 62), "sendfile": (40, 71),
    "open": (2, None), "openat": (257, 56), "close": (3, 57), "close_range": (436, 436), "dup": (32, 23),
    "dup2": (33, None), "dup3": (292, 24), "pipe": (22, None), "pipe2": (293, 59), "eventfd2": (290, 19),
    "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "statfs": (137, 43), "fstatfs": (138, 44), "getcwd": (79, 17), "umask": (95, 166),
    "getdents": (78, None), "getdents64": (217, 61), "mkdir": (83, None), "mkdirat": (258, 34),
    "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
    "fsync": (74, 82), "fdatasync": (75, 83), "flock": (73, 32), "fadvise64": (221, 223),
    "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216), "brk": (12, 214), "madvise": (28, 233),
    "msync": (26, 227), "mlock": (149, 228), "munlock": (150, 229), "get_mempolicy": (239, 236),
    "select": (23, None), "pselect6": (270, 72), "poll": (7, None), "ppoll": (271, 73),
    "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "times": (100, 153), "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158),
    "getrlimit": (97, 163), "getrusage": (98, 165), "sysinfo": (99, 179), "uname": (63, 160), "capget": (125, 90),
    "getrandom": (318, 278), "getcpu": (309, 168), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121), "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126), "futex": (202, 98), "set_tid_address": (218, 96),
    "set_robust_list": (273, 99), "rseq": (334, 293), "membarrier": (324, 283), "wait4": (61, 260),
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
_LOOKED_AT: dict[str, tuple[int, int]] = {
    "clone": (56, 220), "mmap": (9, 222), "prlimit64": (302, 261), "fcntl": (72, 25), "ioctl": (16, 29),
    "prctl": (157, 167),
}  # fmt: skip
"""Those that are allowed with some arguments."""
_MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""Their places above, their names for the kernel's audit, and the numbers of `seccomp`."""
_FIRST_NEW, _FIRST_OF_X32 = 424, 0x40000000
_CLONE3, _CLONE_THREAD, _CLONE_NAMESPACES = 435, 0x10000, 0x7E020080
_MAP_SHARED, _MAP_ANONYMOUS, _PROT_WRITE = 0x01, 0x20, 0x02
_SIGNALLING = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: whoever sets them has the kernel send signals
_TERMINALS = (
    0x5401,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)  # is it one, how wide, how much is there, (non-)inheriting
_NAMES = (15, 16, 0x53564D41)  # of threads and of memory
_LOAD, _EQUALS, _AT_LEAST, _SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
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
    place, architecture, seccomp = known
    instructions = _program(place, architecture)
    array = (_Instruction * len(instructions))(*instructions)
    program = _Program(len(instructions), array)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.syscall(seccomp, _FILTER, _ALL_THREADS, ctypes.byref(program)) == 0)


_REFUSED, _UNKNOWN = (_Instruction(_RETURN, 0, 0, _ERROR | number) for number in (errno.EPERM, errno.ENOSYS))
_PASSED = _Instruction(_RETURN, 0, 0, _ALLOW)


def _program(place: int, architecture: int) -> list[_Instruction]:
    """Each test is followed by what it leads to, so that no jump has to be counted."""
    steps = [_Instruction(_LOAD, 0, 0, _ARCHITECTURE), _Instruction(_EQUALS, 1, 0, architecture), _REFUSED]
    steps += [_Instruction(_LOAD, 0, 0, _NUMBER), *_if(_AT_LEAST, _FIRST_OF_X32, _REFUSED)]
    for call in _ALLOWED.values():
        if (number := call[place]) is not None:
            steps += _if(_EQUALS, number, _PASSED)
    for name, looks in _looks().items():
        steps += [_Instruction(_EQUALS, 0, len(looks), _LOOKED_AT[name][place]), *looks]
    # With clone3 unknown, libc uses clone, whose flags can be looked at.
    return [*steps, *_if(_AT_LEAST, _FIRST_NEW, _UNKNOWN), _REFUSED]


def _looks() -> dict[str, list[_Instruction]]:
    """What decides by the arguments, to its last instruction."""
    shared = [*_if(_SET, _MAP_ANONYMOUS, _REFUSED), _argument(2), *_if(_SET, _PROT_WRITE, _REFUSED), _PASSED]
    return {
        "clone": [
            _argument(0),
            *_if(_SET, _CLONE_NAMESPACES, _REFUSED),
            *_if(_SET, _CLONE_THREAD, _PASSED),
            _REFUSED,
        ],  # threads only
        "mmap": [
            _argument(3),
            _Instruction(_SET, 0, len(shared), _MAP_SHARED),
            *shared,
            _PASSED,
        ],  # no limit counts those
        "prlimit64": _among(0, (0,)),  # its own limits only
        "fcntl": [_argument(1), *(step for kind in _SIGNALLING for step in _if(_EQUALS, kind, _REFUSED)), _PASSED],
        "ioctl": _among(1, _TERMINALS),
        "prctl": _among(0, _NAMES),
    }


def _among(place: int, values: Sequence[int]) -> list[_Instruction]:
    return [_argument(place), *(step for value in values for step in _if(_EQUALS, value, _PASSED)), _REFUSED]


def _if(test: int, value: int, then: _Instruction) -> list[_Instruction]:
    return [_Instruction(test, 0, 1, value), then]


def _argument(place: int) -> _Instruction:
    """Its lower half, which is all that the kernel reads of these."""
    return _Instruction(_LOAD, 0, 0, _ARGUMENTS + 8 * place)
