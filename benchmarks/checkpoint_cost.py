"""What checkpoints cost a node: the share of the training's time that goes into writing them.

    python -m benchmarks.checkpoint_cost [--quick] [--every 10] [--steps 3000] [--runs 3] [--disk .] [--json FILE]

Trains `mnist_cnn` (1.7 MB; 3.4 MB with momentum) on random images of MNIST's shape, one torch thread, and writes to a
folder in `disk`: the working directory, since /tmp may be memory. The share is bounded by design
(`edge_client.checkpoints.COST`); this shows how far below the bound it stays.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.report import Report, command
from edge_client.checkpoints import COST, EVERY_S, Checkpoints
from edge_client.state_folder import StateFolder
from federation.examples import Examples
from federation.spec import TrainingSpec
from federation.training import Training
from federation.training import run as train
from resources.models.catalogue import create_model


def once(folder: Path, steps: int, every_s: float) -> tuple[float, float, int, float]:
    """The share of one training's time, what a checkpoint takes in seconds, how many there were, bytes of one."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12_000, 1, 28, 28, generator=generator)
    examples = Examples(x, torch.randint(0, 10, (12_000,), generator=generator))
    torch.manual_seed(0)
    model = create_model("mnist_cnn", input_shape=(1, 28, 28), num_classes=10)
    spec = TrainingSpec(epochs=1000, max_steps=steps, batch_size=32, learning_rate=0.01, momentum=0.9)
    training = Training(model, examples, spec, seed=0)
    checkpoints = Checkpoints(StateFolder(folder, print), {"benchmark": "checkpoint_cost"}, every_s)
    began = time.perf_counter()
    train(training, after_step=checkpoints.after_step)
    share, written = checkpoints.seconds / (time.perf_counter() - began), checkpoints.written
    checkpoints.keep(training)  # so that there is one to look at, however short the training
    return share, checkpoints.seconds / checkpoints.written, written, (folder / "training").stat().st_size


def run(arguments: argparse.Namespace) -> Report:
    """Trains as often as asked."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="checkpoint-cost-", dir=arguments.disk) as folder:
        runs = [once(Path(folder), arguments.steps, arguments.every) for _ in range(arguments.runs)]
    report = Report("checkpoint cost")
    spent = report.add("share of the training's time", [100 * share for share, _, _, _ in runs], "%")
    report.judge("checkpoints", spent)
    report.add("one checkpoint", [1000 * seconds for _, seconds, _, _ in runs], "ms")
    report.add("its size", [size / 1e6 for _, _, _, size in runs], "MB")
    report.add("checkpoints in a training", [written for _, _, written, _ in runs], "")
    report.remark(
        f"a checkpoint every {arguments.every:g} s and at an epoch's end; at most {100 * COST:g} % is allowed"
    )
    return report


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        every=(EVERY_S, EVERY_S, "seconds between two checkpoints"),
        steps=(3000, 400, "steps of the optimiser"),
        runs=(3, 1, "trainings"),
        disk=(".", ".", "where to write"),
    )
