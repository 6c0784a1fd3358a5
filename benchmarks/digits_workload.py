"""One workload for every simulator: digits, a perceptron 64-32-10, the same shares, steps and first weights.

Written once by Potluck's Python, read with NumPy by each contender's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

HIDDEN = 32
EXAMPLES = 20
"""Of each client: two steps of one local epoch."""
BATCH = 10
LEARNING_RATE = 0.5
NAMES = ("hidden.weight", "hidden.bias", "output.weight", "output.bias")


def write(path: Path, clients: int, seed: int = 0) -> None:
    """The workload as .npz: x float32 [1437, 64], y int64, test_x, test_y, shares int64 [clients, EXAMPLES] into x,
    and the model's tensors. No example is twice in a share; shares overlap, since the set is small."""
    import numpy as np

    from resources.datasets import catalogue as datasets
    from resources.models.catalogue import create_model

    train, test = datasets.load("digits", "train"), datasets.load("digits", "test")
    options = {"hidden": HIDDEN}
    model = create_model("mlp", input_shape=(1, 8, 8), num_classes=10, options=options, seed=seed)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    generator = np.random.default_rng(seed)
    shares = [generator.choice(len(train), EXAMPLES, replace=False) for _ in range(clients)]
    arrays: dict[str, Any] = {"x": train.x.flatten(1).numpy(), "y": train.y.numpy(), "shares": np.stack(shares)}
    np.savez(path, test_x=test.x.flatten(1).numpy(), test_y=test.y.numpy(), **arrays, **weights)


def read(path: Path) -> dict[str, Any]:
    """The arrays by name."""
    import numpy as np

    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def perceptron(arrays: dict[str, Any]) -> Any:
    """The model as plain torch, with the first weights; for peers."""
    import torch
    from torch import nn

    layers = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    with torch.no_grad():
        for parameter, name in zip(layers.parameters(), NAMES, strict=True):
            parameter.copy_(torch.from_numpy(arrays[name]))
    return layers


def accuracy(model: Any, arrays: dict[str, Any]) -> float:
    """Of a model on the test examples."""
    import torch

    with torch.no_grad():
        said = model(torch.from_numpy(arrays["test_x"])).argmax(dim=1)
    return float((said == torch.from_numpy(arrays["test_y"])).float().mean())
