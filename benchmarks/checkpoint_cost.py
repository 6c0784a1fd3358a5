"""What checkpoints cost a node: the share of the training's time that goes into writing them.

    python -m benchmarks.checkpoint_cost [--quick] [--every 10] [--state-dir DIR]

Trains `mnist_cnn` (1.7 MB; 3.4 MB with momentum) on random images of MNIST's shape, one torch thread, and writes to a
folder beside the working directory, since /tmp may be memory. Prints the share at the node's own interval, and what one
checkpoint costs; the share is bounded by design (`edge_client.checkpoints.COST`), this shows how far below it stays.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from edge_client.checkpoints import COST, EVERY_S, Checkpoints
from edge_client.state_folder import StateFolder
from federation.spec import TrainingSpec
from federation.training import Examples, Training, run
from resources.models.catalogue import create_model


def measure(folder: Path, steps: int, every_s: float) -> dict[str, float]:
    """One training of `steps` steps, a checkpoint every `every_s` seconds and at the end of epochs."""
    generator = torch.Generator().manual_seed(0)
    examples = Examples(
        torch.rand(12_000, 1, 28, 28, generator=generator), torch.randint(0, 10, (12_000,), generator=generator)
    )
    torch.manual_seed(0)
    model = create_model("mnist_cnn", input_shape=(1, 28, 28), num_classes=10)
    spec = TrainingSpec(epochs=1000, max_steps=steps, batch_size=32, learning_rate=0.01, momentum=0.9)
    training = Training(model, examples, spec, seed=0)
    checkpoints = Checkpoints(StateFolder(folder, print), {"benchmark": "checkpoint_cost"}, every_s)
    started = time.perf_counter()
    run(training, after_step=checkpoints.after_step)
    seconds = time.perf_counter() - started
    due = checkpoints.seconds / seconds
    written = checkpoints.written
    checkpoints.keep(training)  # so that there is one to look at, however short the training
    return {
        "training_s": seconds,
        "checkpoints": written,
        "share_of_time": due,
        "one_checkpoint_ms": 1000 * checkpoints.seconds / checkpoints.written,
        "one_checkpoint_mb": (folder / "training").stat().st_size / 1e6,
    }


def main() -> None:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="400 steps instead of 6,000")
    parser.add_argument("--every", type=float, default=EVERY_S, help="seconds between two checkpoints")
    parser.add_argument("--state-dir", type=Path, default=Path.cwd(), help="on which disk")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="checkpoint-cost-", dir=arguments.state_dir) as folder:
        result = measure(Path(folder), 400 if arguments.quick else 6000, arguments.every)
    for name, value in result.items():
        print(f"{name:<32} {value:.4g}")
    print(f"{'share_allowed':<32} {COST:.4g}")


if __name__ == "__main__":
    main()
