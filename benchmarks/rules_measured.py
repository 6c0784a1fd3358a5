"""A rule on updates in files, as the coordinator calls it: `-m benchmarks.rules_measured RULE MIXING FOLDER COUNT
REPEATS`. For a process of its own."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

import torch

from benchmarks.process import Peak, memory
from benchmarks.rules import FEW
from federation.aggregation.contributions import Contribution
from federation.aggregation.rules import aggregate
from federation.spec import AggregationSpec, TrainingSpec


def main(rule: str, mixing: str, folder: Path, count: int, repeats: int) -> None:
    """Prints CPU seconds, bytes above the process with few updates and with all, and the length of the result."""
    torch.set_num_threads(1)
    spec = AggregationSpec.model_validate({"rule": rule, "mixing": mixing})
    contributions = [Contribution(f"node-{i:04d}", "u", folder / f"{i:04d}", 100, 4) for i in range(count)]

    def run(some: int) -> float:
        began = time.process_time()
        aggregate(spec, folder / "base", contributions[:some], training=TrainingSpec())
        return time.process_time() - began

    aggregate(spec, folder / "tiny-base", _tiny(folder), training=TrainingSpec())  # what libraries do when first used
    before = memory(os.getpid()).rss
    with Peak(os.getpid(), every_s=60) as few:  # the kernel keeps the mark
        run(min(FEW, count))
    with Peak(os.getpid(), every_s=60) as all_of_them:
        run(count)
        spent = [run(count) for _ in range(repeats)]
    made = aggregate(spec, folder / "base", contributions, training=TrainingSpec()).weights
    length = math.sqrt(math.fsum(float(tensor.double().square().sum()) for tensor in made.values()))
    figures = {"above": all_of_them.rss - before, "grown": all_of_them.rss - few.rss, "length": length}
    print(json.dumps({"cpu": spent, **figures}))


def _tiny(folder: Path) -> list[Contribution]:
    return [Contribution(f"node-{i}", "u", folder / "tiny-update", 100, 4) for i in range(FEW)]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
