"""Flower's own averaging of updates in files, run by Flower's Python: `-m benchmarks.flower_fold WAY FOLDER COUNT`.

Flower hands its functions models that are in memory, all at once, so the files are read before the clock starts, and
their memory counts. `strategy` is `flwr.server.strategy.aggregate.aggregate` (what FedAvg(inplace=False) calls),
`message` is `flwr.serverapp.strategy.strategy_utils.aggregate_arrayrecords` (what the message API's FedAvg calls).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import Peak, memory


def read(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file of float32."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, info in json.loads(data[8:start]).items():
        begin, end = info["data_offsets"]
        tensors[name] = np.frombuffer(data[start + begin : start + end], np.float32).copy()
    return tensors


def prepare(way: str, updates: list[dict[str, Any]]) -> Callable[[], Any]:
    """Flower's function, its arguments made."""
    if way == "strategy":
        from flwr.server.strategy.aggregate import aggregate

        results = [(list(update.values()), 10 + number) for number, update in enumerate(updates)]
        return lambda: aggregate(results)
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
    from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

    records = []
    for number, update in enumerate(updates):
        arrays = ArrayRecord({name: Array(value) for name, value in update.items()})
        records.append(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 10 + number})}))
        update.clear()
    return lambda: aggregate_arrayrecords(records, "num-examples")


def main(way: str, folder: Path, count: int) -> None:
    """Prints bytes, seconds and memory as JSON."""
    paths = [folder / f"update-{number}" for number in range(count)]
    size = paths[0].stat().st_size
    prepare(way, [read(paths[0]) for _ in range(2)])  # imports
    held = memory(os.getpid())
    with Peak(os.getpid()) as peak:
        average = prepare(way, [read(path) for path in paths])
        began, wall = time.process_time(), time.perf_counter()
        average()
        cpu, wall = time.process_time() - began, time.perf_counter() - wall
    figures = {"anon": peak.anon - held.anon, "file": peak.file - held.file, "both": peak.rss - held.rss}
    spent = {"bytes": float(size * count), "cpu": cpu, "wall": wall}
    print(json.dumps(spent | {name: value / size for name, value in figures.items()}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
