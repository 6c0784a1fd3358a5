"""What PyTorch makes of the catalogue's models in a few steps, for the browser's engines to be held against.

`python scripts/parity_vectors.py` writes web/tests/parity/: `vectors.json`, and the whole final weights of the small
cases as safetensors files. Weights and examples are not stored: both sides compute them from a hash of integers. Of
each tensor's change the vectors hold a sketch (Charikar et al. 2002: values are added up in few cells by hashed places
and signs), whose distance to another sketch estimates the distance of the tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from federation.weights import to_bytes
from resources.models.catalogue import create_model, model_of, parameter_count

FOLDER = Path(__file__).parents[1] / "web" / "tests" / "parity"
EXAMPLES = 36
BATCH = 8  # an epoch is four batches of 8 and one of 4
STEPS = 20
CELLS = 32


@dataclass(frozen=True)
class Descent:
    """How a case descends, named as in the engine's `Descent`."""

    optimizer: str
    learningRate: float
    momentum: float = 0.0
    weightDecay: float = 0.0
    proximal: float = 0.0
    batchSize: int = BATCH


@dataclass(frozen=True)
class Model:
    """A small instance of a model of the catalogue; `whole`: cases whose final weights are stored."""

    id: str
    shape: tuple[int, ...]
    classes: int
    options: Mapping[str, int] = field(default_factory=dict)
    whole: tuple[str, ...] = ()


DESCENTS = {
    "sgd": Descent("sgd", 0.02, momentum=0.9, weightDecay=5e-4),
    "proximal": Descent("sgd", 0.05, proximal=1.0),
    "adam": Descent("adam", 1e-3, weightDecay=1e-3),
}
MODELS = (
    Model("logistic", (1, 8, 8), 7, whole=tuple(DESCENTS)),
    Model("mlp", (1, 8, 8), 10, {"hidden": 16}, whole=tuple(DESCENTS)),
    Model("mcmahan_2nn", (5, 3), 3, {"hidden": 17}, whole=tuple(DESCENTS)),
    Model("mnist_cnn", (1, 9, 10), 10, {"hidden": 16}, whole=("sgd",)),
    Model("mcmahan_cnn", (2, 7, 5), 10),
    Model("cifar10_cnn", (3, 8, 9), 10, {"hidden": 16}),
)


def uniform(count: int, salt: int) -> NDArray[np.float64]:
    """`count` values in [0, 1), multiples of 2^-24: bits of an integer hash of place and salt."""
    x = np.arange(count, dtype=np.uint32) + np.uint32(salt << 20 & 0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ x >> np.uint32(shift)) * np.uint32(factor)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2**24


def weights_of(model: Model) -> dict[str, Tensor]:
    """Initial weights, in ±√(6 / fan-in), biases too."""
    shapes = {name: tuple(t.shape) for name, t in _built(model).items()}
    weights = {}
    for number, (name, shape) in enumerate(shapes.items()):
        fan_in = math.prod(shapes[name.replace("bias", "weight")][1:])
        values = (2 * uniform(math.prod(shape), 1 + number) - 1) * math.sqrt(6 / fan_in)
        weights[name] = torch.from_numpy(values.astype(np.float32)).reshape(shape)
    return weights


def examples_of(model: Model) -> tuple[Tensor, Tensor]:
    """Inputs in 0..1, half of them zero as in pictures of digits, and labels."""
    values = uniform(EXAMPLES * math.prod(model.shape), 100)
    x = np.where(values < 0.5, 0, values).astype(np.float32)
    y = np.floor(uniform(EXAMPLES, 101) * model.classes).astype(np.int64)
    return torch.from_numpy(x).reshape(EXAMPLES, *model.shape), torch.from_numpy(y)


def sketch(values: Tensor) -> NDArray[np.float64]:
    """Values added up in `CELLS` cells, by hashed places and signs, in float64."""
    flat = values.double().reshape(-1).numpy()
    cells = np.floor(uniform(len(flat), 102) * CELLS).astype(np.int64)
    signs = np.where(uniform(len(flat), 103) < 0.5, -1.0, 1.0)
    sums: NDArray[np.float64] = np.bincount(cells, weights=flat * signs, minlength=CELLS).astype(np.float64)
    return sums


def descend(model: Model, how: Descent, steps: int = STEPS) -> tuple[dict[str, Tensor], list[float], list[int]]:
    """Final weights; before each step the loss of its batch and its right answers. Batches follow the examples' order.

    The steps are those of `federation.training.Training`.
    """
    given = weights_of(model)
    x, y = examples_of(model)
    net = model_of(
        model.id,
        {name: tensor.clone() for name, tensor in given.items()},
        input_shape=model.shape,
        num_classes=model.classes,
        options=dict(model.options),
    )
    rate, decay = how.learningRate, how.weightDecay
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(net.parameters(), lr=rate, weight_decay=decay)
        if how.optimizer == "adam"
        else torch.optim.SGD(net.parameters(), lr=rate, momentum=how.momentum, weight_decay=decay)
    )
    losses, correct = [], []
    at = 0
    for _ in range(steps):
        batch = slice(at, at + how.batchSize)
        at = 0 if batch.stop >= EXAMPLES else batch.stop
        logits = net(x[batch])
        loss = F.cross_entropy(logits, y[batch])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        for name, weight in net.named_parameters():
            if how.proximal and weight.grad is not None:
                weight.grad.add_(weight.detach() - given[name], alpha=how.proximal)
        optimizer.step()
        losses.append(loss.item())
        correct.append(int((logits.detach().argmax(dim=1) == y[batch]).sum()))
    return {name: tensor.detach() for name, tensor in net.state_dict().items()}, losses, correct


def case_of(model: Model, label: str) -> tuple[dict[str, Any], bytes | None]:
    """One case as the JSON file has it, and the final weights as a file where they are stored."""
    final, losses, correct = descend(model, DESCENTS[label])
    given = weights_of(model)
    tensors = {
        name: {
            "norm": _round(float(tensor.double().norm())),
            "moved": _round(float((tensor.double() - given[name].double()).norm())),
            "sketch": [_round(cell) for cell in sketch(tensor.double() - given[name].double())],
        }
        for name, tensor in final.items()
    }
    file = f"{model.id}-{label}.safetensors" if label in model.whole else None
    case = {
        "model": model.id,
        "options": dict(model.options),
        "shape": list(model.shape),
        "classes": model.classes,
        "descent": asdict(DESCENTS[label]),
        "file": file,
        "losses": [_round(loss, 9) for loss in losses],
        "correct": correct,
        "tensors": tensors,
    }
    return case, to_bytes(final) if file else None


def vectors() -> tuple[dict[str, Any], dict[str, bytes]]:
    """What `vectors.json` holds, and the files beside it by name."""
    torch.set_num_threads(1)
    cases, files = [], {}
    for model in MODELS:
        for label in DESCENTS:
            case, file = case_of(model, label)
            cases.append(case)
            if file is not None:
                files[str(case["file"])] = file
    counts = [
        {"model": id, "shape": list(shape), "classes": 10, "parameters": _count(id, shape)}
        for id in sorted(model.id for model in MODELS)
        for shape in ((1, 28, 28), (3, 32, 32))
    ]
    return {"counts": counts, "cases": cases}, files


def _count(id: str, shape: tuple[int, ...]) -> int:
    return parameter_count(id, input_shape=shape, num_classes=10)


def _built(model: Model) -> dict[str, Tensor]:
    net = create_model(model.id, input_shape=model.shape, num_classes=model.classes, options=dict(model.options))
    return net.state_dict()


def _round(value: float, digits: int = 7) -> float:
    return float(f"{value:.{digits}g}")


def main() -> None:
    """Write the vectors."""
    found, files = vectors()
    (FOLDER / "files").mkdir(parents=True, exist_ok=True)
    cases = ",\n".join(json.dumps(case, separators=(",", ":")) for case in found["cases"])
    counts = json.dumps(found["counts"], separators=(",", ":"))
    (FOLDER / "vectors.json").write_text(f'{{"counts":{counts},"cases":[\n{cases}\n]}}\n')
    for name, content in files.items():
        (FOLDER / "files" / name).write_bytes(content)


if __name__ == "__main__":
    main()
