"""What each rule costs on a round of synthetic updates: CPU seconds and how much the peak of memory grows.

    python -m benchmarks.rules [--quick] [--updates 50] [--megabytes 10] [--repeats 3] [--rule krum …]

Updates are drawn once into a temporary folder, and lie in the page cache. Each rule runs in a process of its own, with
one thread, first on 8 updates and then on all; the least CPU time of the repeats counts, and of memory what the whole
round takes above the 8 (flat: less than a block's few copies). A bar that is missed is marked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

BARS = {"trimmed_mean": (0.6, 0.4), "krum": (0.35, 0.25)}  # CPU seconds on 50 updates of 10 MB: bar, goal
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PAIRS = [
    ("fedavg", "none"), ("fednova", "none"), ("fedavgm", "none"), ("fedadagrad", "none"), ("fedadam", "none"),
    ("fedyogi", "none"), ("krum", "none"), ("multi_krum", "none"), ("geometric_median", "none"),
    ("centered_clipping", "none"), ("norm_clipping", "none"), ("median", "none"), ("trimmed_mean", "none"),
    ("bulyan", "none"), ("krum", "nnm"), ("trimmed_mean", "nnm"), ("trimmed_mean", "bucketing"),
]  # fmt: skip


def draw(folder: Path, updates: int, megabytes: int) -> None:
    """A base of zeros and normal deltas of one large tensor and one small, float32."""
    from federation.weights import pack_update, to_bytes

    generator = torch.Generator().manual_seed(0)
    rows = max(1, megabytes * 250_000 // 500)
    (folder / "base").write_bytes(to_bytes({"weight": torch.zeros(rows, 500), "bias": torch.zeros(500)}))
    for i in range(updates):
        weight = 1e-3 * torch.randn(rows, 500, generator=generator)
        delta = {"weight": weight, "bias": torch.randn(500, generator=generator)}
        (folder / f"{i:04d}").write_bytes(pack_update(delta))


def measure(folder: Path, rule: str, mixing: str, updates: int, repeats: int) -> dict[str, float]:
    """In this process: the rule on 8 updates, then `repeats` times on all."""
    from federation.aggregation.rules import Contribution, aggregate
    from federation.spec import AggregationSpec, TrainingSpec

    torch.set_num_threads(1)
    spec = AggregationSpec.model_validate({"rule": rule, "mixing": mixing})
    contributions = [Contribution(f"node-{i:04d}", "u", folder / f"{i:04d}", 100, 4) for i in range(updates)]

    def run(count: int) -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        aggregate(spec, folder / "base", contributions[:count], training=TrainingSpec())
        return time.process_time() - cpu, time.perf_counter() - wall

    run(min(8, updates))
    few = _peak_mb()
    times = [run(updates) for _ in range(repeats)]
    peak = _peak_mb()
    return {
        "cpu_s": min(cpu for cpu, _ in times),
        "wall_s": min(wall for _, wall in times),
        "grown_mb": peak - few,
        "peak_mb": peak,
    }


def _peak_mb() -> float:
    """Of this program alone; getrusage would tell the peak of the process that started it, if that was higher."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="10 updates of 2 MB")
    parser.add_argument("--rule", action="append", help="only this rule; may be given several times")
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "RULE", "MIXING"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, rule, mixing = arguments.child
        print(json.dumps(measure(Path(folder), rule, mixing, arguments.updates, arguments.repeats)))
        return
    updates, megabytes = (10, 2) if arguments.quick else (arguments.updates, arguments.megabytes)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="potluck-rules-") as folder:
        draw(Path(folder), updates, megabytes)
        print(f"{updates} updates of {megabytes} MB, one thread, least of {arguments.repeats}")
        print(f"{'rule':<18} {'mixing':<10} {'CPU s':>7} {'wall s':>7} {'grown MB':>9} {'peak MB':>8}")
        for rule, mixing in PAIRS:
            if arguments.rule and rule not in arguments.rule:
                continue
            command = [sys.executable, "-m", "benchmarks.rules", "--child", folder, rule, mixing]
            command += ["--updates", str(updates), "--repeats", str(arguments.repeats)]
            done = subprocess.run(command, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, check=True)
            found = json.loads(done.stdout)
            line = f"{rule:<18} {mixing:<10} {found['cpu_s']:7.3f} {found['wall_s']:7.3f} "
            line += f"{found['grown_mb']:9.1f} {found['peak_mb']:8.1f}"
            if mixing == "none" and rule in BARS and not arguments.quick:
                bar, goal = BARS[rule]
                line += f"  bar {bar}{' MISSED' if found['cpu_s'] > bar else ''}, goal {goal}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
