"""Who takes part in a simulation, on what; and those among them who attack."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from federation.examples import Examples
from federation.simulation.attacks import Attack, attackers_among
from federation.simulation.backdoor import plant
from federation.simulation.clients import Client
from federation.simulation.engine import ModelFactory
from federation.spec import derive_seed


@dataclass(frozen=True)
class Population:
    """A federation without its network.

    Attributes:
        clients: their names sort in their order; client i trains with the seeds of a node with share i.
        pool: the examples that the clients' indices point into.
        test: what the global model is scored on; None: it is not.
        factory: builds the model with the global model's initial weights.
        held: of each client what it holds out of training, as indices into the pool, to score models on.
    """

    clients: Sequence[Client]
    pool: Examples
    test: Examples | None
    factory: ModelFactory
    held: Sequence[torch.Tensor] = ()

    def __post_init__(self) -> None:
        names = [client.name for client in self.clients]
        if not names or any(one >= other for one, other in pairwise(names)):
            raise ValueError("clients need names that are different and in order")
        if self.held and len(self.held) != len(names):
            raise ValueError("either every client holds something out, be it nothing, or none does")


def clients_of(shares: Sequence[torch.Tensor]) -> list[Client]:
    """Clients with these indices, named in order."""
    width = len(str(len(shares) - 1))
    return [Client(f"client-{place:0{width}d}", indices) for place, indices in enumerate(shares)]


def attacked(
    population: Population, attack: Attack | None, share: float, seed: int
) -> tuple[Population, frozenset[str]]:
    """The population with its attackers' examples poisoned, where the attack does that; and the attackers.

    There are some if, and only if, there is an attack: `check_simulation` sees to that.
    """
    if attack is None:
        return population, frozenset()
    names = attackers_among([client.name for client in population.clients], share, derive_seed(seed, "attackers"))
    return _poisoned(population, attack, names, seed), names


def _poisoned(population: Population, attack: Attack, names: Collection[str], seed: int) -> Population:
    pool, clients = population.pool, list(population.clients)
    if attack.name == "backdoor":
        pool, clients = plant(pool, clients, names, derive_seed(seed, "backdoor"))
    elif attack.poison is not None:
        classes = int(pool.y.max()) + 1
        clients = [attack.poison(each, pool, classes) if each.name in names else each for each in clients]
    return replace(population, clients=clients, pool=pool)
