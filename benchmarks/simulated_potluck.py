"""Rounds of `federation.simulation`: `-m benchmarks.simulated_potluck WORKLOAD WARM_UP ROUNDS ENGINE`."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import get_args

import torch

from benchmarks.digits_workload import BATCH, HIDDEN, LEARNING_RATE, NAMES, read
from benchmarks.round_clock import RoundClock
from federation.examples import Examples
from federation.simulation.engine import EngineName
from federation.simulation.population import Population, clients_of
from federation.simulation.run import simulate
from federation.simulation.simulated_round import Start
from federation.spec import TaskSpec
from resources.models.catalogue import create_model


def main(workload: Path, warm_up: int, rounds: int, engine: EngineName) -> None:
    """Prints what the clock and the last round's score say. One thread; several processes if that is the engine."""
    torch.set_num_threads(1)
    arrays = read(workload)
    shares = [torch.from_numpy(share) for share in arrays["shares"]]
    spec = TaskSpec.model_validate(
        {
            "name": "digits",
            "model": {"id": "mlp"},
            "data": {"id": "digits"},
            "training": {"epochs": 1, "batch_size": BATCH, "learning_rate": LEARNING_RATE},
            "cohort": {"fraction": 1.0},
            "rounds": warm_up + rounds,
            "evaluation": {"every": warm_up + rounds},
        }
    )
    pool, test = (_examples(arrays[x], arrays[y]) for x, y in (("x", "y"), ("test_x", "test_y")))
    options = {"hidden": HIDDEN}
    factory = partial(create_model, "mlp", input_shape=(1, 8, 8), num_classes=10, options=options, seed=0)
    population = Population(clients_of(shares), pool, test, factory)
    weights = {name: torch.from_numpy(arrays[name]) for name in NAMES}
    clock = RoundClock(warm_up, rounds)
    clock.tick()
    workers = len(os.sched_getaffinity(0))
    score = 0.0
    for done in simulate(spec, population, engine=engine, workers=workers, start=Start(0, weights, {})):
        clock.tick()
        score = done.accuracy or score
    print(clock.outcome(score))


def _examples(x: object, y: object) -> Examples:
    return Examples(torch.as_tensor(x).view(-1, 1, 8, 8), torch.as_tensor(y))


if __name__ == "__main__":
    chosen = next(name for name in get_args(EngineName) if name == sys.argv[4])
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), chosen)
