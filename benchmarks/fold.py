"""How fast updates are folded into a model, and in how much memory, from 10 to 100 updates of 100 MB.

    python -m benchmarks.fold [--quick] [--mb 100] [--repeats 3] [--flower FOLDER] [--json FILE]

Each fold runs in a process of its own, with one torch thread, in a worker thread, as the coordinator calls it
(`federation.aggregation.rules.aggregate`). Ten distinct files, hard-linked under as many names as there are updates,
lie in the page cache: disks are not measured. Beside it, in turn: a plain torch loop (map a file, `add_`), one copy of
the model in memory (memcpy), and Flower's own averaging functions, if Flower is installed there (see
`benchmarks.flower_rounds`). GB/s are bytes of updates divided by CPU seconds, page faults included. Memory is the peak
above what the process held before it began, anonymous and file-mapped apart, divided by the size of the model: mapped
pages can be dropped at any time, but a container's limit counts them while they are there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.process import Peak, memory
from benchmarks.report import Report, command

TENSORS = 10
DISTINCT = 10


def make_files(folder: Path, megabytes: int, most: int) -> Path:
    """A base model and `most` updates of `megabytes` each, in ten tensors; ten of the updates are distinct."""
    import torch

    from federation.weights import pack_update, to_bytes

    generator = torch.Generator().manual_seed(0)

    def draw(values: int = megabytes * 1_000_000 // 4 // TENSORS) -> dict[str, torch.Tensor]:
        return {f"layer{n}.weight": torch.randn(values, generator=generator) for n in range(TENSORS)}

    (folder / "base").write_bytes(to_bytes(draw()))
    (folder / "tiny-base").write_bytes(to_bytes(draw(100_000)))
    (folder / "tiny-update").write_bytes(pack_update(draw(100_000)))
    for number in range(most):
        path = folder / f"update-{number}"
        if number < DISTINCT:
            path.write_bytes(pack_update(draw()))
        else:
            os.link(folder / f"update-{number % DISTINCT}", path)
    return folder


def once(way: str, folder: Path, count: int) -> dict[str, float]:
    """Folds `count` updates one way; bytes, seconds and memory. For a process of its own."""
    import torch

    from federation.aggregation.contributions import Contribution
    from federation.aggregation.rules import aggregate
    from federation.spec import AggregationSpec

    tiny = [Contribution("node", "up", folder / "tiny-update", 1, 1)]
    aggregate(AggregationSpec(), folder / "tiny-base", tiny)  # what libraries do when first used is not the fold's
    paths = [folder / f"update-{number}" for number in range(count)]
    size = paths[0].stat().st_size

    def ours() -> Any:
        torch.set_num_threads(1)
        updates = [Contribution(f"node-{n:04d}", "up", path, 10 + n, 1) for n, path in enumerate(paths)]
        return aggregate(AggregationSpec(), folder / "base", updates)

    def plain() -> Any:
        torch.set_num_threads(1)
        total = torch.zeros(size // 4)
        for path in paths:  # the header is added up as well: it is short, and nobody looks at the sum
            mapped = torch.from_file(str(path), shared=False, size=size // 4)
            total.add_(mapped, alpha=1 / count)
        return total

    def memcpy() -> Any:
        torch.set_num_threads(1)
        source, target = torch.ones(size // 4), torch.zeros(size // 4)
        began = time.thread_time()
        wall = time.perf_counter()
        for _ in range(count):
            target.copy_(source)
        spent.update(cpu=time.thread_time() - began, wall=time.perf_counter() - wall)

    spent: dict[str, float] = {}
    kept: list[Any] = []

    def work() -> None:
        began, wall = time.thread_time(), time.perf_counter()
        kept.append(way_of[way]())
        spent.setdefault("cpu", time.thread_time() - began)
        spent.setdefault("wall", time.perf_counter() - wall)

    way_of = {"ours": ours, "plain": plain, "memcpy": memcpy}
    held = memory(os.getpid())
    with Peak(os.getpid()) as peak:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    return {
        "bytes": float(size * count),
        "cpu": spent["cpu"],
        "wall": spent["wall"],
        "anon": (peak.anon - held.anon) / size,
        "file": (peak.file - held.file) / size,
        "both": (peak.rss - held.rss) / size,
    }


def in_a_process(command: list[str]) -> dict[str, float]:
    """What a child answers as its last line of output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(folder: Path, counts: list[int], repeats: int, flower: Path | None) -> Report:
    """Every way in turn."""
    model = (folder / "base").stat().st_size
    report = Report(f"fold, updates of {model / 1e6:.0f} MB")
    me = [sys.executable, "-m", "benchmarks.fold", "--child"]
    few, most = counts[0], counts[-1]
    ways = {f"Potluck, {count} updates": [*me, "ours", str(folder), str(count)] for count in counts}
    ways |= {f"plain torch loop, {few} updates": [*me, "plain", str(folder), str(few)]}
    ways |= {"memcpy of the model": [*me, "memcpy", str(folder), str(few)]}
    if flower is not None:
        for way in ("strategy", "message"):
            ways[f"Flower ({way} API), {few} updates"] = [
                str(flower / "bin" / "python"),
                "-m",
                "benchmarks.flower_fold",
                way,
                str(folder),
                str(few),
            ]
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, line in ways.items():
            seen[name].append(in_a_process(line))
    for name, runs in seen.items():
        report.add(f"{name}: speed", [run["bytes"] / run["cpu"] / 1e9 for run in runs], "GB/s of CPU time")
    for name, runs in seen.items():
        report.add(f"{name}: speed", [run["bytes"] / run["wall"] / 1e9 for run in runs], "GB/s as time passes")
    for name, runs in seen.items():
        if "memcpy" not in name:
            for part in ("anon", "file", "both"):
                report.add(f"{name}: {part} memory at the peak", [run[part] for run in runs], "models")
    _judge(report, seen, f"Potluck, {few} updates", f"Potluck, {most} updates")
    if flower is None:
        report.remark("Flower is not installed: `python -m benchmarks.flower_rounds` does that, or --flower FOLDER")
    return report


def _judge(report: Report, seen: dict[str, list[dict[str, float]]], few: str, most: str) -> None:
    speed = statistics.median(run["bytes"] / run["cpu"] / 1e9 for run in seen[most])
    peaks = {name: statistics.median(run["both"] for run in seen[name]) for name in (few, most)}
    report.judge("fold", speed)
    report.judge("fold_memory", peaks[most])
    report.judge("fold_flat", peaks[most] - peaks[few])


def run(arguments: argparse.Namespace) -> Report:
    """Makes the files and measures."""
    from benchmarks.flower_home import installed

    counts = [10, 20] if arguments.quick else [10, 50, 100]
    with tempfile.TemporaryDirectory(prefix="potluck-bench-") as name:
        folder = make_files(Path(name), arguments.mb, counts[-1])
        return measure(folder, counts, arguments.repeats, installed(Path(arguments.flower)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(once(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        from benchmarks.flower_home import HOME

        command(
            run,
            __doc__ or "",
            mb=(100, 20, "size of an update, in MB"),
            repeats=(3, 2, "processes for each way"),
            flower=(str(HOME), str(HOME), "virtual environment that Flower is installed in"),
        )
