"""What merging four adapters costs and loses: Potluck's exact mean beside PEFT's ways, a dense SVD and mean factors.

    python -m benchmarks.lora_merge [--quick] [--adapters 4] [--repeats 20] [--dense-repeats 3] [--json FILE]

Adapters are made up, of SmolLM2-135M's shapes: r = 8 on queries and values of 30 layers, 60 pairs of factors. What is
wanted is M, the weighted mean of the products; the error is the Frobenius distance to it, relative, over all layers and
in the worst. M and the best that rank 8 can do, the dense SVD cut off, are computed in float64 to judge by.

Each way runs in a process of its own with one thread (`--quick`: PEFT's in one, all others in another); its first
call does not count. Potluck's rules begin with files and end with the next version's tensors; a whole rule checks the
files, too, and tells each update's norm and cosine. PEFT's ways and the dense SVD begin with adapters in memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.contender import ONE_THREAD, outcome
from benchmarks.lora_adapters import LORA, draw, pairs, shares
from benchmarks.lora_merged import WAYS
from benchmarks.report import NotMeasured, Report, command, number, spread
from federation.adapters import Pair
from federation.aggregation.contributions import Contribution
from federation.weights import DELTA, load

PATIENCE_S = 900.0
EXACT, MERGE = "lora_exact", "lora_exact, the merge alone"
BEST = f"the best of rank {LORA.r}"
HEAD = ("way", "ms (range)", "CPU-ms (range)", "memory, MB", "error", "worst layer", "rank")


def run(arguments: argparse.Namespace) -> Report:
    """Every way, judged by what it made."""
    torch.set_num_threads(1)
    report = Report(f"{arguments.adapters} adapters of SmolLM2-135M's shapes, r = {LORA.r}, merged on one thread")
    rows = []
    with tempfile.TemporaryDirectory(prefix="potluck-bench-") as name:
        folder = Path(name)
        contributions = draw(folder, arguments.adapters, arguments.layers)
        wanted = Wanted(folder, contributions, arguments.layers)
        for ways in together() if arguments.quick else [(way,) for way in WAYS]:
            repeats = {way: arguments.dense_repeats if WAYS[way] else arguments.repeats for way in ways}
            line = [
                sys.executable,
                "-m",
                "benchmarks.lora_merged",
                name,
                str(arguments.adapters),
                str(arguments.layers),
            ]
            try:
                told = outcome([*line, *(f"{way}={times}" for way, times in repeats.items())], ONE_THREAD, PATIENCE_S)
            except NotMeasured as problem:
                report.remark(f"{', '.join(ways)}: not measured: {problem}")
                continue
            for way in ways:
                made = load(folder / way)
                rows.append(_row(report, way, told[way], wanted.errors(made)))
                if way == MERGE:
                    report.judge("lora_merge", statistics.median(told[way]["cpu_ms"]))
                if way == EXACT:
                    report.judge("lora_error", wanted.above_best(made))
        best = wanted.best
    rows.append([BEST, "–", "–", "–", f"{best.over_all:.5f}", f"{best.worst:.5f}", str(LORA.r)])
    report.add(f"{BEST}: error", best.over_all, "relative")
    report.compare(HEAD, rows)
    report.remark("judged: the merge alone, median CPU time; and by how much the whole rule's error exceeds the best")
    return report


def together() -> list[tuple[str, ...]]:
    """The ways that share a process where figures do not count: those that need PEFT, and those that do not."""
    return [tuple(way for way in WAYS if way.startswith("PEFT") == peft) for peft in (False, True)]


class Errors:
    """Of each layer and over all, relative."""

    def __init__(self, gaps: list[float], lengths: list[float]) -> None:
        self.each = [gap / length for gap, length in zip(gaps, lengths, strict=True)]
        self.over_all = torch.tensor(gaps).norm().item() / torch.tensor(lengths).norm().item()
        self.worst = max(self.each)


class Wanted:
    """M of every layer, dense, in float64; and how far from it the best of the rank is."""

    def __init__(self, folder: Path, contributions: list[Contribution], layers: int) -> None:
        base, updates = load(folder / "base"), [load(each.path) for each in contributions]
        self._pairs = pairs(layers)
        self._means = [_mean(pair, base, updates, shares(contributions)) for pair in self._pairs]
        self._lengths = [float(mean.norm()) for mean in self._means]
        tails = [float(torch.linalg.svdvals(mean)[LORA.r :].norm()) for mean in self._means]
        self.best = Errors(tails, self._lengths)

    def errors(self, made: Mapping[str, torch.Tensor]) -> Errors:
        """Of the factors in `made`, whose products have the scaling in them."""
        gaps = [
            float((made[pair.b].double() @ made[pair.a].double() - mean).norm())
            for pair, mean in zip(self._pairs, self._means, strict=True)
        ]
        return Errors(gaps, self._lengths)

    def above_best(self, made: Mapping[str, torch.Tensor]) -> float:
        """By how much the error exceeds the best, over all or in a layer, whichever is more."""
        mine = self.errors(made)
        layers = (one - other for one, other in zip(mine.each, self.best.each, strict=True))
        most: float = max(0.0, mine.over_all - self.best.over_all, *layers)
        return round(most, 9)


def _mean(pair: Pair, base: Mapping[str, Any], updates: list[dict[str, Any]], weights: list[float]) -> torch.Tensor:
    mean = torch.zeros(pair.outputs, pair.inputs, dtype=torch.float64)
    for update, weight in zip(updates, weights, strict=True):
        b = base[pair.b].double() + update[DELTA + pair.b].double()
        mean += weight * LORA.scaling * (b @ (base[pair.a].double() + update[DELTA + pair.a].double()))
    return mean


def _row(report: Report, way: str, told: Mapping[str, Any], errors: Errors) -> list[str]:
    """Keeps the figures; answers the table's line."""
    report.add(f"{way}: on the clock", told["ms"], "ms")
    report.add(f"{way}: CPU", told["cpu_ms"], "CPU-ms")
    above = report.add(f"{way}: memory above the process", told["above"] / 1e6, "MB")
    report.add(f"{way}: error", errors.over_all, "relative")
    report.add(f"{way}: error of the worst layer", errors.worst, "relative")
    times = (spread(told["ms"]), spread(told["cpu_ms"]), number(above))
    return [way, *times, f"{errors.over_all:.5f}", f"{errors.worst:.5f}", str(told["rank"])]


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        adapters=(4, 4, "adapters"),
        layers=(30, 4, "of the model"),
        repeats=(20, 3, "calls that count"),
        dense_repeats=(3, 1, "of the ways that make a layer's matrix"),
    )
