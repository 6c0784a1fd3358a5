"""What code in the sandbox may take, and what of its fences a machine can put up."""

from __future__ import annotations

from dataclasses import dataclass

CLOCK, CPU, MEMORY, FILE, OUTPUT, AUDIT, NO_FENCE, CALLER, ITSELF = (
    "clock",
    "CPU limit",
    "memory limit",
    "file size limit",
    "output limit",
    "audit hook",
    "no fence",
    "caller",
    "itself",
)
"""Who stopped the code. "no fence": it never began, since this machine has no fence that holds."""


@dataclass(frozen=True)
class Bounds:
    """What one run may take, at most. CPU time and the clock count from where the code begins; before that Python and
    its libraries are loaded, which may take `start_seconds`."""

    memory_bytes: int = 1 << 30
    cpu_seconds: int = 40
    clock_seconds: float = 90
    start_seconds: float = 120
    file_bytes: int = 64 << 20
    output_bytes: int = 1 << 20
    files: int = 256
    processes: int = 64
