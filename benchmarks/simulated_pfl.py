"""Rounds of pfl's simulation, run by pfl's Python: `-m benchmarks.simulated_pfl WORKLOAD WARM_UP ROUNDS`.

As its guide "Fast distributed simulations" asks for: datasets in memory as pfl's own `Dataset`, no evaluation between
rounds, one process or several under torchrun that share the cohort. Each user's `Dataset` is made once, so that its
batches stay cut.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import MinimizeReuseUserSampler
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import nn

from benchmarks.digits_workload import BATCH, LEARNING_RATE, accuracy, perceptron, read
from benchmarks.round_clock import RoundClock


class Perceptron(nn.Module):
    """The workload's model with what pfl asks of one: a loss and metrics."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor) -> Any:
        """Logits [n, 10]."""
        return self.layers(x)

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean over a batch."""
        return nn.functional.cross_entropy(self(x), y)

    def metrics(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
        """For evaluations, which only pfl's first round makes."""
        return {"loss": Weighted(self.loss(x, y).item() * len(y), len(y))}


class Ticks(TrainingProcessCallback):  # type: ignore[misc]
    """Tells the clock of each round's end."""

    def __init__(self, clock: RoundClock) -> None:
        self._clock = clock

    def on_train_begin(self, *, model: Any) -> Any:
        """The first round begins."""
        self._clock.tick()
        return Metrics()

    def after_central_iteration(self, aggregate_metrics: Any, model: Any, *, central_iteration: int) -> Any:
        """A round is over."""
        self._clock.tick()
        return False, Metrics()


def main(workload: Path, warm_up: int, rounds: int) -> None:
    """Prints what the clock and the test examples say."""
    torch.set_num_threads(1)
    arrays = read(workload)
    x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    users = [Dataset(raw_data=(x[share], y[share])) for share in arrays["shares"]]
    data = FederatedDataset(users.__getitem__, MinimizeReuseUserSampler(range(len(users))))
    network = Perceptron(perceptron(arrays))
    model = PyTorchModel(network, torch.optim.SGD, torch.optim.SGD(network.parameters(), lr=1.0))
    together = "TORCHELASTIC_RUN_ID" in os.environ  # torchrun's, whose children share the cohort
    clock = RoundClock(warm_up, rounds, root=os.getppid() if together else os.getpid())
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=warm_up + rounds,
            evaluation_frequency=warm_up + rounds,
            train_cohort_size=len(users),
            val_cohort_size=0,
        ),
        SimulatedBackend(training_data=data, val_data=data),
        model,
        NNTrainHyperParams(local_batch_size=BATCH, local_num_epochs=1, local_learning_rate=LEARNING_RATE),
        callbacks=[Ticks(clock)],
        send_metrics_to_platform=False,
    )
    if os.environ.get("RANK", "0") == "0":
        print(clock.outcome(accuracy(network, arrays)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
