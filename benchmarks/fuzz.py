"""Throws strange requests at a server and prints what became of them. `python -m benchmarks.fuzz [--quick] [--seed N]`.

Each case is checked: no fault of the server's, no word of its inside, nothing written by what was refused. Coverage
guides nothing here: hypothesis draws the cases, and a seed repeats them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.fuzz.surface import Surface, check_alive, shown
from tests.fuzz.tensor_files import TensorFiles
from tests.fuzz.tool_calls import tools_of
from tests.fuzz.wire_calls import framing, older_transport, raw_lane
from tests.mcp_server.running import serving

MOST_GROWTH_MIB = 64
"""Of the process, over all cases after the first hundred of each surface: caches may warm up, nothing may leak."""


@dataclass
class Row:
    """What became of one surface's cases."""

    name: str
    cases: int
    outcomes: Counter[str]
    worst_ms: float
    broken: list[str]


async def measure(surface: Surface, count: int, seed: int) -> Row:
    """Throws the cases of one surface, one after the other."""
    row = Row(surface.name, count, Counter(), 0.0, [])
    for case in surface.cases(count, seed):
        began = time.perf_counter()
        try:
            row.outcomes[await surface.throw(case)] += 1
        except Exception as error:
            row.broken.append(f"{type(error).__name__}: {error} on {shown(case)}")
        row.worst_ms = max(row.worst_ms, 1000 * (time.perf_counter() - began))
    print(f"{row.name}: {count} cases, {len(row.broken)} broken", file=sys.stderr, flush=True)
    return row


async def run(quick: bool, seed: int) -> int:
    """All surfaces of one server. The number of broken invariants."""
    each = 20 if quick else 200
    with tempfile.TemporaryDirectory() as folder:
        limits: dict[str, Any] = {"body_timeout_s": 0.1, "sessions_per_minute": 0, "predictions_per_minute": 0}
        async with serving(Path(folder) / "data", **limits) as served:
            files = TensorFiles()
            tools: list[Surface] = list(await tools_of(served))
            wires: list[Surface] = [await raw_lane(served), await framing(served), await older_transport(served)]
            for surface in [*tools, *wires, files]:  # warm: caches, threads, compiled patterns
                await measure(surface, 10 if quick else 50, seed + 1)
            before = resident_mib()
            rows = [await measure(surface, each, seed) for surface in tools]
            rows += [await measure(surface, each * 5, seed) for surface in wires]
            rows.append(await measure(files, each * 20, seed))
            await check_alive(served)
            grown = resident_mib() - before
            files.close()
    report(rows, grown)
    return sum(len(row.broken) for row in rows) + (grown > MOST_GROWTH_MIB)


def report(rows: list[Row], grown: float) -> None:
    """A table, and every broken invariant."""
    print(f"{'surface':<20} {'cases':>6} {'outcomes':>8} {'broken':>6} {'worst':>9}  most frequent")
    for row in rows:
        most = ", ".join(f"{name} {count}" for name, count in row.outcomes.most_common(3))
        figures = f"{row.cases:>6} {len(row.outcomes):>8} {len(row.broken):>6} {row.worst_ms:>6.0f} ms"
        print(f"{row.name:<20} {figures}  {most}")
    cases, broken = sum(row.cases for row in rows), sum(len(row.broken) for row in rows)
    print(f"{cases} cases, {broken} broken; the process grew by {grown:.0f} MiB (bound: {MOST_GROWTH_MIB})")
    for row in rows:
        for problem in row.broken[:5]:
            print(f"\n{row.name}: {problem[:2000]}")


def resident_mib() -> float:
    """Of this process, server and client in one, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


def main() -> None:
    """Runs and exits with 1 if anything broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some 1,000 cases instead of more than 10,000")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    sys.exit(min(1, asyncio.run(run(chosen.quick, chosen.seed))))


if __name__ == "__main__":
    main()
