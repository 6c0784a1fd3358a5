"""What every library trains: digits of 28 x 28, and models of the catalogue with PyTorch's first weights and losses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from resources.datasets import catalogue as datasets
from resources.models.catalogue import create_model

SIDE, BOX, CLASSES, HIDDEN = 28, 20, 10, 128
BATCH, BATCHES = 32, 32
_PAPER = 0.3
"""Of a stroke's darkness: what is fainter is paper. Enlarging leaves grey edges, wider than those of MNIST."""


@dataclass(frozen=True)
class Workload:
    """A model of the catalogue and its learning rate (plain SGD)."""

    name: str
    model: str
    learning_rate: float


WORKLOADS = (Workload("MLP", "mlp", 0.1), Workload("CNN", "mnist_cnn", 0.05))


def pictures() -> tuple[Tensor, Tensor]:
    """The first digits of scikit-learn's, 8 x 8 and handwritten, enlarged to 20 x 20 in a frame of 28 x 28 as MNIST's
    are: float32 [1024, 1, 28, 28] in 0..1, int64 [1024]."""
    train = datasets.load("digits", "train")
    x, y = train.x[: BATCH * BATCHES], train.y[: BATCH * BATCHES]
    large = F.interpolate(x, size=(BOX, BOX), mode="bilinear", align_corners=False)
    frame = (SIDE - BOX) // 2
    return F.pad(((large - _PAPER) / (1 - _PAPER)).clamp(0, 1), (frame, frame, frame, frame)), y


def write(folder: Path, workload: Workload) -> None:
    """`<model>.bin`, float32, and `<model>.json`, which says what is where in it."""
    x, y = pictures()
    tensors = {**_model(workload).state_dict(), "x": x, "y": y}
    settings = {
        "model": workload.model,
        "hidden": HIDDEN,
        "learningRate": workload.learning_rate,
        "batchSize": BATCH,
        "classes": CLASSES,
    }
    head = {"settings": settings, "tensors": {name: list(tensor.shape) for name, tensor in tensors.items()}}
    (folder / f"{workload.model}.json").write_text(json.dumps(head))
    flat = torch.cat([tensor.flatten().float() for tensor in tensors.values()])
    (folder / f"{workload.model}.bin").write_bytes(flat.numpy().astype("<f4").tobytes())


def losses(workload: Workload, steps: int) -> Iterator[float]:
    """Of PyTorch, before each of the first steps."""
    x, y = pictures()
    model = _model(workload)
    optimizer = torch.optim.SGD(model.parameters(), lr=workload.learning_rate)
    for step in range(steps):
        at = slice(step % BATCHES * BATCH, (step % BATCHES + 1) * BATCH)
        loss = F.cross_entropy(model(x[at]), y[at])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield loss.item()


def _model(workload: Workload) -> torch.nn.Module:
    return create_model(workload.model, input_shape=(1, SIDE, SIDE), num_classes=CLASSES, options={"hidden": HIDDEN})
