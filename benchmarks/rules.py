"""What each rule costs on a round of synthetic updates, in CPU seconds and memory, beside Flower's implementations.

    python -m benchmarks.rules [--quick] [--updates 50] [--megabytes 10] [--repeats 5] [--rules all] [--json FILE]

Updates are drawn once into a temporary folder, and lie in the page cache. Each rule runs in a process of its own, with
one thread, Potluck's and Flower's in turn; the first call on all updates does not count, of the others the median does.
Potluck reads the updates from their files, block after block, and tells of each update how it stands to the result:
both are in its time. Flower's strategies (`aggregate_train` of the message API) are handed replies that are in memory:
reading and making those is not in its time. Memory is the peak above what the process held before; Flower's is given
above the replies, and with them. Flat: what the whole round takes above 8 updates.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import flower_home
from benchmarks.contender import ONE_THREAD, outcome
from benchmarks.report import NotMeasured, Report, command, number, spread

FEW = 8
PATIENCE_S = 600.0
PAIRS = [
    ("fedavg", "none"), ("fednova", "none"), ("fedavgm", "none"), ("fedadagrad", "none"), ("fedadam", "none"),
    ("fedyogi", "none"), ("krum", "none"), ("multi_krum", "none"), ("geometric_median", "none"),
    ("centered_clipping", "none"), ("norm_clipping", "none"), ("median", "none"), ("trimmed_mean", "none"),
    ("bulyan", "none"), ("krum", "nnm"), ("trimmed_mean", "nnm"), ("trimmed_mean", "bucketing"),
]  # fmt: skip
OPTIMISERS = ("fedavgm", "fedadagrad", "fedadam", "fedyogi")
FLOWERS = ("fedavg", *OPTIMISERS, "krum", "multi_krum", "median", "trimmed_mean", "bulyan")
JUDGED = ("krum", "trimmed_mean")
HEAD = (
    "rule",
    "CPU-s (range)",
    "memory, MB",
    "grown, MB",
    "Flower CPU-s (range)",
    "memory, MB",
    "with replies",
    "CPU ×",
)


def draw(folder: Path, updates: int, megabytes: int) -> None:
    """A base of zeros and normal deltas of one large tensor and one small, float32; and tiny ones to warm up on."""
    import torch

    from federation.weights import pack_update, to_bytes

    generator = torch.Generator().manual_seed(0)
    rows = max(1, megabytes * 250_000 // 500)
    (folder / "base").write_bytes(to_bytes({"weight": torch.zeros(rows, 500), "bias": torch.zeros(500)}))
    tiny = {"weight": torch.randn(1, 500, generator=generator), "bias": torch.randn(500, generator=generator)}
    (folder / "tiny-base").write_bytes(to_bytes(tiny))
    (folder / "tiny-update").write_bytes(pack_update(tiny))
    for i in range(updates):
        weight = 1e-3 * torch.randn(rows, 500, generator=generator)
        delta = {"weight": weight, "bias": torch.randn(500, generator=generator)}
        (folder / f"{i:04d}").write_bytes(pack_update(delta))


def run(arguments: argparse.Namespace) -> Report:
    """Every rule, and Flower's where it has it."""
    report = Report(f"rules, {arguments.updates} updates of {arguments.megabytes} MB, one thread")
    home = _flower(arguments, report)
    wanted = arguments.rules.split(",")
    rows, grown = [], []
    with tempfile.TemporaryDirectory(prefix="potluck-bench-") as name:
        folder = Path(name)
        draw(folder, arguments.updates, arguments.megabytes)
        for rule, mixing in PAIRS:
            if wanted != ["all"] and rule not in wanted:
                continue
            ours = _ours(rule, mixing, folder, arguments)
            theirs = None
            if home is not None and mixing == "none" and rule in FLOWERS:
                try:
                    theirs = _theirs(home, rule, folder, arguments)
                except NotMeasured as problem:
                    report.remark(f"Flower's {rule} was not measured: {problem}")
            rows.append(_row(report, rule if mixing == "none" else f"{rule} after {mixing}", ours, theirs))
            if mixing == "none" and rule in JUDGED:
                report.judge(rule, statistics.median(ours["cpu"]))
                grown.append(ours["grown"] / 1e6)
            if theirs and rule not in OPTIMISERS and abs(ours["length"] / theirs["length"] - 1) > 1e-3:
                report.remark(f"{rule}: the results differ, of lengths {ours['length']:.6g} and {theirs['length']:.6g}")
    if grown:
        report.judge("rules_flat", max(grown))
    report.compare(HEAD, rows)
    report.remark("Flower holds all updates in memory, as its servers do; Potluck streams them from files")
    return report


def _flower(arguments: argparse.Namespace, report: Report) -> Path | None:
    if arguments.flower == "none":
        report.remark("Flower was left out, as asked")
        return None
    try:
        return flower_home.install(Path(arguments.flower))
    except NotMeasured as problem:
        report.remark(f"not measured: {problem}")
        return None


def _ours(rule: str, mixing: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    line = [sys.executable, "-m", "benchmarks.rules_measured", rule, mixing, str(folder)]
    return outcome([*line, str(arguments.updates), str(arguments.repeats)], ONE_THREAD, PATIENCE_S)


def _theirs(home: Path, rule: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    f = min(max(1, arguments.updates // 5), (arguments.updates - 3) // 4 if rule == "bulyan" else arguments.updates)
    line = [str(home / "bin" / "python"), "-m", "benchmarks.flower_rules", rule, str(folder)]
    environment = {**ONE_THREAD, "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    return outcome([*line, str(arguments.updates), str(arguments.repeats), str(f)], environment, PATIENCE_S)


def _row(report: Report, name: str, ours: dict[str, Any], theirs: dict[str, Any] | None) -> list[str]:
    """Keeps the figures; answers the table's line."""
    cpu = report.add(f"{name}: CPU", ours["cpu"], "CPU-s")
    above = report.add(f"{name}: memory above the process", ours["above"] / 1e6, "MB")
    grown = report.add(f"{name}: memory above {FEW} updates", ours["grown"] / 1e6, "MB")
    row = [name, spread(ours["cpu"]), number(above), number(grown)]
    if theirs is None:
        return [*row, "–", "–", "–", "–"]
    flowers = report.add(f"{name}: CPU, Flower {flower_home.VERSION}", theirs["cpu"], "CPU-s")
    alone = report.add(f"{name}: memory above the replies, Flower", theirs["above"] / 1e6, "MB")
    replies = report.add(f"{name}: memory with the replies, Flower", theirs["together_with_inputs"] / 1e6, "MB")
    ratio = report.add(f"{name}: Flower / Potluck, CPU", flowers / cpu, "ratio")
    return [*row, spread(theirs["cpu"]), number(alone), number(replies), number(ratio)]


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        updates=(50, 10, "updates"),
        megabytes=(10, 2, "size of each"),
        repeats=(5, 2, "calls that count"),
        rules=("all", "all", "names of rules, with commas between them"),
        flower=(str(flower_home.HOME), str(flower_home.HOME), "virtual environment of Flower, or none"),
    )
