"""Small clients, models and tasks to simulate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from federation.examples import Examples
from federation.simulation.clients import Client, LocalUpdates, Work
from federation.simulation.engine import Engine, ModelFactory
from federation.simulation.population import Population, clients_of
from federation.spec import TaskSpec
from federation.weights import Tensors

RAGGED = (1, 7, 32, 12, 20, 3, 31, 18)
CLASSES = 4


class Images(nn.Module):
    """A convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 6, 3, padding=1)
        self.output = nn.Linear(6 * 4 * 4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.max_pool2d(self.features(x).relu(), 2)
        logits: Tensor = self.output(pooled.flatten(1))
        return logits


class WithBuffers(nn.Module):
    """A model that counts batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def seeded(build: ModelFactory, seed: int = 0) -> nn.Module:
    """The model with weights drawn from the seed; torch's global state is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def factory(build: ModelFactory = mlp) -> ModelFactory:
    return partial(seeded, build)


def weights_of(build: ModelFactory = mlp) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in factory(build)().state_dict().items()}


def blobs(n: int, seed: int = 0, noise: float = 0.3) -> Examples:
    """8x8 images of four patterns under noise."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % CLASSES
    patterns = torch.rand((CLASSES, 1, 8, 8), generator=torch.Generator().manual_seed(77))
    return Examples((patterns[y] + noise * torch.randn((n, 1, 8, 8), generator=generator)).clamp(0, 1), y)


def ragged_clients(sizes: Sequence[int] = RAGGED) -> tuple[list[Client], Examples]:
    """Clients with so many examples each, disjoint, in no order."""
    pool = blobs(sum(sizes))
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(5))
    return clients_of(torch.split(order, list(sizes))), pool


def work_of(clients: Sequence[Client]) -> list[Work]:
    return [Work(client, 1000 + place) for place, client in enumerate(clients)]


def trained(engine: Engine, weights: Tensors, work: Sequence[Work]) -> LocalUpdates:
    """All of a round."""
    parts, everything = list(engine.train(weights, work)), LocalUpdates.nothing()
    for part in parts:
        everything.count(part)
    deltas = torch.cat([part.deltas for part in parts])
    return LocalUpdates(deltas, everything.num_examples, everything.num_steps, everything.loss, everything.accuracy)


def gaps(found: Tensor, wanted: Tensor) -> list[float]:
    """Of each row, how far it is from the one wanted, relative to that one's length."""
    lengths = wanted.double().norm(dim=1)
    return ((found.double() - wanted.double()).norm(dim=1) / lengths).tolist()


def population(clients: int = 8, *, build: ModelFactory = mlp, each: int = 20) -> Population:
    pool = blobs(clients * each)
    shares = torch.split(torch.arange(len(pool)), each)
    return Population(clients_of(shares), pool, blobs(80, seed=1), factory(build))


def task(**changes: Any) -> TaskSpec:
    """A task of three rounds with all clients; model and data are the population's matter."""
    spec: dict[str, Any] = {
        "name": "small",
        "model": {"id": "mlp"},
        "data": {"id": "digits"},
        "training": {"learning_rate": 0.1, "batch_size": 8},
        "cohort": {"fraction": 1.0},
        "rounds": 3,
        "seed": 11,
    }
    return TaskSpec.model_validate(spec | changes)
