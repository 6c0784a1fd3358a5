"""Rounds of Flower's simulation, run by Flower's Python: `-m benchmarks.simulated_flower WORKLOAD WARM_UP ROUNDS CPUS`.

Its virtual client engine on Ray, the only backend that this release has; CPUS for each client, so that as many actors
work as that goes into the machine's cores. The message API's FedAvg over all clients, no evaluation.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from benchmarks.digits_workload import accuracy, perceptron, read
from benchmarks.flower_digits import WORKLOAD, app
from benchmarks.round_clock import RoundClock


def main(workload: Path, warm_up: int, rounds: int, cpus: float) -> None:
    """Prints what the clock and the test examples say."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    os.environ[WORKLOAD] = str(workload)  # the actors inherit it
    arrays = read(workload)
    model, clients = perceptron(arrays), len(arrays["shares"])
    clock = RoundClock(warm_up, rounds)

    def serve(grid: Grid, context: Context) -> None:
        def over(number: int, made: Any) -> None:
            clock.tick()
            if number == warm_up + rounds:
                model.load_state_dict(made.to_torch_state_dict())

        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
        first = ArrayRecord(model.state_dict())
        strategy.start(grid=grid, initial_arrays=first, num_rounds=warm_up + rounds, evaluate_fn=over)

    server = ServerApp()
    server.main()(serve)
    resources: Any = {"client_resources": {"num_cpus": cpus, "num_gpus": 0.0}}
    run_simulation(server_app=server, client_app=app, num_supernodes=clients, backend_config=resources)
    print(clock.outcome(accuracy(model, arrays)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
