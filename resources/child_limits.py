"""What a child process may take, and what it took: memory, by the system's own limits.

`RLIMIT_AS` is of no use: PyTorch maps gigabytes that it never touches, and the sum differs between builds. On Linux the
limit is `RLIMIT_DATA`, which since Linux 4.7 counts private writable memory, anonymous mappings included; it is set
after the imports, to what the process has by then plus the allowance. An allocation beyond it fails inside PyTorch and
is reported. macOS accepts the call and does not enforce it: there only an estimate made beforehand stands between a
huge model and the machine.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_LINUX = sys.platform == "linux"


def limit_memory(allowance: int) -> bool:
    """Let this process take `allowance` bytes more than it has; whether the system enforces it."""
    if not _LINUX:
        return False
    limit = _status("VmData") + allowance
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return True


def peak_memory() -> int:
    """Most bytes resident at once so far. Not `ru_maxrss` on Linux: a child inherits its parent's there."""
    if _LINUX:
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
