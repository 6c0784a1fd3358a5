"""Local training: what a node does with its own examples in one round."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from federation.errors import ErrorCode, Refused
from federation.spec import TrainingSpec


@dataclass(frozen=True)
class Examples:
    """Labelled examples: `x` float32 [n, ...], values 0..1, channels first; `y` int64 [n], classes from 0."""

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} examples with {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: NDArray[np.int64] | Tensor) -> Examples:
        """A copy of the examples at `indices`, in that order."""
        index = torch.as_tensor(indices)
        return Examples(self.x[index], self.y[index])


@dataclass(frozen=True)
class Progress:
    """Where training stands: loss and accuracy are means over the examples of the current epoch so far."""

    step: int
    total_steps: int
    epoch: int
    loss: float
    accuracy: float
    examples_per_s: float


@dataclass(frozen=True)
class Trained:
    """What a round of local training was.

    `num_examples` is FedAvg's n_k: the examples trained on at least once, however many epochs passed over them. Loss
    and accuracy are means over the last epoch, each batch scored just before its own step, so the weights improve
    underneath.
    """

    num_examples: int
    num_steps: int
    loss: float
    accuracy: float
    seconds: float


class Stopped(Exception):
    """Training ended early because `should_stop` said so; the model is half trained and of no use."""


def train(
    model: nn.Module,
    examples: Examples,
    spec: TrainingSpec,
    *,
    seed: int,
    proximal: float = 0.0,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Trained:
    """ClientUpdate of FedAvg (McMahan et al. 2017, Algorithm 1): minibatch descent on the cross-entropy, in place.

    Each epoch is a fresh shuffle; the last, smaller batch of an epoch counts as a step. The optimiser starts without
    state: momentum does not outlive the round. The shuffle has a generator of its own, so equal inputs give equal
    bits, provided that the model's layers draw no random numbers (dropout would draw from torch's global generator).

    Args:
        model: from the examples' `x` to logits [n, classes]; trained in place.
        examples: the node's own share.
        spec: optimiser, epochs, batch size, rates; `momentum` is SGD's, Adam keeps its paper's decay rates.
        seed: of the shuffle.
        proximal: μ of FedProx (Li et al. 2020, arXiv:1812.06127), whose loss has μ/2 |w - w_t|² more; w_t: as given.
        on_progress: called after every step.
        should_stop: asked before every step.

    Raises:
        Stopped: `should_stop` answered true.
        Refused: BAD_DATA without examples; BAD_UPDATE when the loss or the weights are no longer finite.
    """
    if len(examples) == 0:
        raise Refused(ErrorCode.BAD_DATA, "there are no examples to train on.", "use a share with examples in it")
    started = time.perf_counter()
    total = _total_steps(len(examples), spec)
    optimizer = _optimizer(model, spec)
    start = [(weight, weight.detach().clone()) for weight in model.parameters() if proximal and weight.requires_grad]
    model.train()
    epoch, seen, loss_sum, correct = 0, 0, 0.0, 0
    step = 0
    for step, (this_epoch, batch) in enumerate(_batches(len(examples), spec, total, seed), start=1):
        if should_stop is not None and should_stop():
            raise Stopped
        if this_epoch != epoch:
            epoch, seen, loss_sum, correct = this_epoch, 0, 0.0, 0
        y = examples.y[batch]
        logits = model(examples.x[batch])
        loss = F.cross_entropy(logits, y)
        value = loss.item()
        if not math.isfinite(value):
            raise _diverged(f"the loss became {value} at step {step} of {total}.")
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        for weight, given in start:
            if weight.grad is not None:
                weight.grad.add_(weight.detach() - given, alpha=proximal)
        optimizer.step()
        seen += len(y)
        loss_sum += value * len(y)
        correct += int((logits.detach().argmax(dim=1) == y).sum())
        if on_progress is not None:
            done = (epoch - 1) * len(examples) + seen
            rate = done / max(time.perf_counter() - started, 1e-9)
            on_progress(Progress(step, total, epoch, loss_sum / seen, correct / seen, rate))
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise _diverged("the last step made weights that are not finite.")
    trained_on = len(examples) if epoch > 1 else seen  # `max_steps` may end before every example was seen
    return Trained(trained_on, step, loss_sum / seen, correct / seen, time.perf_counter() - started)


def split_holdout(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Examples to train on and, kept from training, `share` of them (rounded down) to evaluate on; order is kept."""
    held = int(len(examples) * share)
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    return examples.take(order[held:].sort().values), examples.take(order[:held].sort().values)


def _total_steps(n: int, spec: TrainingSpec) -> int:
    steps = spec.epochs * math.ceil(n / spec.batch_size)
    return steps if spec.max_steps is None else min(steps, spec.max_steps)


def _batches(n: int, spec: TrainingSpec, total: int, seed: int) -> Iterator[tuple[int, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    step = 0
    for epoch in range(1, spec.epochs + 1):
        for batch in torch.split(torch.randperm(n, generator=generator), spec.batch_size):
            if step == total:
                return
            step += 1
            yield epoch, batch


def _optimizer(model: nn.Module, spec: TrainingSpec) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if spec.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=spec.learning_rate, weight_decay=spec.weight_decay)
    return torch.optim.SGD(parameters, lr=spec.learning_rate, momentum=spec.momentum, weight_decay=spec.weight_decay)


def _diverged(problem: str) -> Refused:
    return Refused(
        ErrorCode.BAD_UPDATE,
        problem,
        "lower the learning rate (training.learning_rate) or momentum; check that inputs are scaled to 0..1",
    )
