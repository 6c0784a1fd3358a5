"""Flower's own strategies on updates in files, run by Flower's Python: `-m benchmarks.flower_rules RULE FOLDER COUNT
REPEATS`.

What is timed is `aggregate_train` of the message API's strategy on replies that are in memory, as Flower hands them
over; reading the files and making the replies is not, but their memory is told. The first call does not count.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy
from flwr.supercore.task_identity import TaskIdentity

from benchmarks.flower_fold import read
from benchmarks.process import Peak, memory


def strategies(f: int, count: int) -> dict[str, Any]:
    """By Potluck's names, with the options that `benchmarks.rules` gives there; optimisers as Flower has them."""
    return {
        "fedavg": strategy.FedAvg,
        "fedavgm": lambda: strategy.FedAvgM(server_momentum=0.9),
        "fedadagrad": strategy.FedAdagrad,
        "fedadam": strategy.FedAdam,
        "fedyogi": strategy.FedYogi,
        "krum": lambda: strategy.Krum(num_malicious_nodes=f),
        "multi_krum": lambda: strategy.MultiKrum(num_malicious_nodes=f, num_nodes_to_select=count - f),
        "median": strategy.FedMedian,
        "trimmed_mean": lambda: strategy.FedTrimmedAvg(beta=f / count),
        "bulyan": lambda: strategy.Bulyan(num_malicious_nodes=f),
    }


def replies(folder: Path, count: int) -> list[Message]:
    """A reply for each file, as the strategies take them."""
    made = []
    for number in range(count):
        arrays = ArrayRecord({name: Array(value) for name, value in read(folder / f"{number:04d}").items()})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 100})})
        made.append(Message(content, dst_node_id=number + 1, message_type="train"))
    return made


def main(rule: str, folder: Path, count: int, repeats: int, f: int) -> None:
    """Prints CPU seconds, bytes above the inputs and with them, and the length of the result, as JSON."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1  # messages are made within a run only
    base = {f"delta/{name}": value for name, value in read(folder / "base").items()}
    replies(folder, 1)  # imports
    before = memory(os.getpid()).rss
    cpu, above, together = [], 0, 0
    length = 0.0
    for number in range(repeats + 1):
        chosen = strategies(f, count)[rule]()
        momentum = rule == "fedavgm"  # which holds the model as a record, the adaptive ones as plain arrays
        chosen.current_arrays = ArrayRecord({name: Array(value) for name, value in base.items()}) if momentum else base
        handed = replies(folder, count)
        held = memory(os.getpid()).rss
        with Peak(os.getpid(), every_s=60) as peak:  # the kernel keeps the mark
            began = time.process_time()
            arrays, _ = chosen.aggregate_train(1, handed)
            spent = time.process_time() - began
        if number:
            cpu.append(spent)
            above, together = max(above, peak.rss - held), max(together, peak.rss - before)
        length = float(np.sqrt(sum(np.square(each.astype(np.float64)).sum() for each in arrays.to_numpy_ndarrays())))
        del handed, arrays, chosen
    print(json.dumps({"cpu": cpu, "above": above, "together_with_inputs": together, "length": length}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
