"""Local training: what a node does with its own examples in one round."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.objective import CLASSIFICATION, Objective, pieces
from federation.optimizers import Adam, Sgd
from federation.spec import TrainingSpec, derive_seed


@dataclass(frozen=True)
class Progress:
    """Where training stands: loss and accuracy are means over the targets of the current epoch so far."""

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
    examples_per_s: float = 0.0


class Stopped(Exception):
    """Training ended early because `should_stop` said so; the model is half trained and of no use."""


@dataclass
class Position:
    """How far training has come: steps in all; examples seen, their targets, summed loss and right answers in this
    epoch."""

    step: int = 0
    epoch: int = 0
    seen: int = 0
    targets: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """Training between two steps: all that the steps to come depend on, beside examples, spec and seed.

    Attributes:
        tensors: `model/<name>`, `optimizer/<parameter>/<name>`, and under `shuffle` (uint8) the state of the shuffle's
            generator when the epoch began; `correction/<name>`, where gradients are corrected. They are the live
            tensors: write or copy them before the next step.
        position: how far training has come.
    """

    tensors: dict[str, Tensor]
    position: Position


class Training:
    """ClientUpdate of FedAvg (McMahan et al. 2017, Algorithm 1) as a state and a step.

    Minibatch descent on the objective, in place. Each epoch is a fresh shuffle; the last, smaller batch of an epoch
    counts as a step. The optimiser starts without state: momentum does not outlive the round. The shuffle has a
    generator of its own, and where the model has dropout, each step seeds torch's global one and puts it back: equal
    inputs give equal bits, interrupted or not.

    Args:
        model: from the examples' `x` to logits; trained in place.
        examples: the node's own share.
        spec: optimiser, epochs, batch size, rates; `momentum` is SGD's, Adam keeps its paper's decay rates.
        seed: of the shuffle.
        proximal: μ of FedProx (Li et al. 2020, arXiv:1812.06127), whose loss has μ/2 |w - w_t|² more; w_t: as given.
        correction: SCAFFOLD's c - c_i (Karimireddy et al. 2020, arXiv:1910.06378) by the model's names, added to each
            gradient; what is not trained has no gradient, and its correction no effect.
        objective: what is lessened; default: the cross-entropy of logits [n, classes].

    Raises:
        Refused: BAD_DATA without examples.
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Examples,
        spec: TrainingSpec,
        *,
        seed: int,
        proximal: float = 0.0,
        correction: Mapping[str, Tensor] | None = None,
        objective: Objective = CLASSIFICATION,
    ) -> None:
        if len(examples) == 0:
            raise Refused(ErrorCode.BAD_DATA, "there are no examples to train on.", "use a share with examples in it")
        self.at = Position()
        self.total_steps = total_steps(len(examples), spec)
        self._model = model
        self._examples = examples
        self._spec = spec
        self._objective = objective
        self._seed = seed
        self._drops_out = any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())
        self._optimizer = _optimizer(model, spec)
        self._proximal = proximal
        self._correction = dict(correction or {})
        self._corrected = [(w, self._correction[name]) for name, w in trained_parameters(model) if self._correction]
        self._start = [(w, w.detach().clone()) for w in model.parameters() if proximal and w.requires_grad]
        self._generator = torch.Generator().manual_seed(seed)
        self._shuffle = self._generator.get_state()
        self._order = torch.empty(0, dtype=torch.int64)
        self._started = time.perf_counter()
        model.train()

    @property
    def done(self) -> bool:
        """Whether there is no step left."""
        return self.at.step == self.total_steps

    @property
    def epoch_ended(self) -> bool:
        """Whether the last step saw the last examples of its epoch."""
        return self.at.seen == len(self._order)

    def step(self) -> None:
        """One step of the optimiser, on the next batch.

        Raises:
            Refused: BAD_UPDATE when the loss is not finite.
        """
        at = self.at
        if self.epoch_ended:
            self._shuffle = self._generator.get_state()
            self._order = torch.randperm(len(self._examples), generator=self._generator)
            at.epoch, at.seen, at.targets, at.loss_sum, at.correct = at.epoch + 1, 0, 0, 0.0, 0
        batch = self._order[at.seen : at.seen + self._spec.batch_size]
        at.step += 1
        self._optimizer.zero_grad()
        with self._draws():
            targets, loss_sum, correct = self._descend(self._examples.x[batch], self._examples.y[batch])
        for weight, given in self._start:
            if weight.grad is not None:
                weight.grad.add_(weight.detach() - given, alpha=self._proximal)
        for weight, extra in self._corrected:
            if weight.grad is not None:
                weight.grad.add_(extra)
        self._optimizer.step()
        at.seen += len(batch)
        at.targets += targets
        at.loss_sum += loss_sum
        at.correct += correct

    def _descend(self, x: Tensor, y: Tensor) -> tuple[int, float, int]:
        """The gradient of a batch's mean loss, piece by piece; its targets, their summed loss, and those got right."""
        targets, loss_sum, correct = self._objective.targets(y), 0.0, 0
        if targets == 0:
            raise Refused(ErrorCode.BAD_DATA, "a batch has nothing to predict.", "leave out examples without labels")
        for piece in pieces(x, y, self._spec.accumulation):
            part = self._objective.targets(piece[1])
            if part == 0:
                continue
            seen, answers = self._objective.narrowed(*piece)
            loss, right = self._objective.score(self._model(seen), answers)
            value = loss.item()
            if not math.isfinite(value):
                raise _diverged(f"the loss became {value} at step {self.at.step} of {self.total_steps}.")
            torch.autograd.backward(loss if part == targets else loss * (part / targets))
            loss_sum += value * part
            correct += int(right.sum())
        return targets, loss_sum, correct

    @contextmanager
    def _draws(self) -> Iterator[None]:
        """Dropout draws from torch's global generator: within this the same at the same step, outside as before."""
        if not self._drops_out:
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self._seed, "dropout", self.at.step))
            yield

    def progress(self) -> Progress:
        """Where training stands after a step."""
        at = self.at
        means = (at.loss_sum / at.targets, at.correct / at.targets)
        return Progress(at.step, self.total_steps, at.epoch, *means, self._examples_per_s())

    def result(self) -> Trained:
        """What the training was, once it is done.

        Raises:
            Refused: BAD_UPDATE when the weights are no longer finite.
        """
        if not all(bool(parameter.isfinite().all()) for _, parameter in trained_parameters(self._model)):
            raise _diverged("the last step made weights that are not finite.")
        at = self.at
        trained_on = len(self._examples) if at.epoch > 1 else at.seen  # `max_steps` may end before all were seen
        means = (at.loss_sum / at.targets, at.correct / at.targets)
        return Trained(trained_on, at.step, *means, self._seconds(), self._examples_per_s())

    def checkpoint(self) -> Checkpoint:
        """The state as it is now, to be handed to `restore` of an equal training later."""
        tensors = {f"model/{name}": tensor for name, tensor in self._model.state_dict().items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            held = {name: value for name, value in state.items() if value is not None}  # no momentum: None
            tensors |= {f"optimizer/{number}/{name}": value for name, value in held.items()}
        tensors |= {f"correction/{name}": tensor for name, tensor in self._correction.items()}
        tensors["shuffle"] = self._shuffle
        return Checkpoint(tensors, replace(self.at, seconds=self._seconds()))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from `checkpoint` as if there had been no interruption. Examples, spec and seed have to be the same.

        Raises:
            ValueError: it is no checkpoint of such a training; nothing has been changed.
        """
        at, tensors = replace(checkpoint.position), dict(checkpoint.tensors)
        here = self._model.state_dict()
        shuffle = tensors.pop("shuffle", torch.empty(0))
        model = {name: tensors.pop(f"model/{name}", torch.empty(0)) for name in here}
        same = all(_like(tensor, here[name]) for name, tensor in model.items()) and _like(shuffle, self._shuffle)
        if not same or not 0 < at.step <= self.total_steps or at.targets < at.seen:
            raise ValueError("it has other tensors than this model, or another length than this training")
        corrected = {name: tensors.pop(f"correction/{name}", torch.empty(0)) for name in self._correction}
        if not all(torch.equal(tensor, self._correction[name]) for name, tensor in corrected.items()):
            raise ValueError("its gradients were corrected by other control variates")
        states: dict[int, dict[str, Tensor]] = {}
        parameters = dict(enumerate(self._optimizer.param_groups[0]["params"]))
        for path, tensor in tensors.items():
            number, _, name = path.removeprefix("optimizer/").partition("/")
            parameter = parameters.get(int(number))  # a name without a number is a ValueError
            if parameter is None or (tensor.ndim and tensor.shape != parameter.shape):
                raise ValueError(f"{path} belongs to no parameter")
            states.setdefault(int(number), {})[name] = tensor
        self._generator.set_state(shuffle)
        self._model.load_state_dict(model)
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": states, "param_groups": groups})
        self._shuffle = shuffle
        self._order = torch.randperm(len(self._examples), generator=self._generator)
        self.at = at
        self._started = time.perf_counter() - at.seconds

    def _seconds(self) -> float:
        return time.perf_counter() - self._started

    def _examples_per_s(self) -> float:
        done = (self.at.epoch - 1) * len(self._examples) + self.at.seen
        return done / max(self._seconds(), 1e-9)


def train(
    model: nn.Module,
    examples: Examples,
    spec: TrainingSpec,
    *,
    seed: int,
    proximal: float = 0.0,
    correction: Mapping[str, Tensor] | None = None,
    objective: Objective = CLASSIFICATION,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Trained:
    """A whole round of local training; see `Training` for the arguments.

    Args:
        on_progress: called after every step.
        should_stop: asked before every step.

    Raises:
        Stopped: `should_stop` answered true.
        Refused: BAD_DATA without examples; BAD_UPDATE when the loss or the weights are no longer finite.
    """
    training = Training(model, examples, spec, seed=seed, proximal=proximal, correction=correction, objective=objective)
    return run(training, on_progress=on_progress, should_stop=should_stop)


def run(
    training: Training,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    after_step: Callable[[Training], None] | None = None,
) -> Trained:
    """Take `training` from where it stands to its end; as `train`, and `after_step` may keep a checkpoint."""
    while not training.done:
        if should_stop is not None and should_stop():
            raise Stopped
        training.step()
        if on_progress is not None:
            on_progress(training.progress())
        if after_step is not None:
            after_step(training)
    return training.result()


def trained_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """What training changes: parameters that want a gradient, each once, by their first names."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def total_steps(n: int, spec: TrainingSpec) -> int:
    """Steps of a round of training on n examples; the same of `Trained.num_examples`, where `max_steps` ends sooner."""
    steps = spec.epochs * math.ceil(n / spec.batch_size)
    return steps if spec.max_steps is None else min(steps, spec.max_steps)


def _like(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype


def _optimizer(model: nn.Module, spec: TrainingSpec) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if spec.optimizer == "adam":
        return Adam(parameters, lr=spec.learning_rate, weight_decay=spec.weight_decay)
    return Sgd(parameters, lr=spec.learning_rate, momentum=spec.momentum, weight_decay=spec.weight_decay)


def _diverged(problem: str) -> Refused:
    return Refused(
        ErrorCode.BAD_UPDATE,
        problem,
        "lower the learning rate (training.learning_rate) or momentum; check that inputs are scaled to 0..1",
    )
