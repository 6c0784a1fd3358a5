"""Local training that is somebody else's: what it is given, what it answers, and what is checked of the answer."""

from __future__ import annotations

import functools
import hashlib
import math
import operator
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.layout import layout_of, shown
from federation.spec import TaskSpec, TrainingSpec
from federation.training import Progress, Stopped
from federation.weights import Tensors

_MEND = "answer Learnt(weights=lesson.model.state_dict(), …) once lesson.model is trained"
_PROCESS = secrets.token_hex(8)
_METRIC = re.compile(r"[a-z][a-z0-9_.]{0,63}")
MOST_METRICS = 30
"""A trainer's own; the node adds some, and an update carries 50."""

MOST_COUNTED = 1 << 53
"""Of examples and of steps."""


class Reporter(Protocol):
    """`lesson.progress`."""

    def __call__(
        self, step: int, total_steps: int, loss: float, accuracy: float = math.nan, *, epoch: int = 1, examples: int = 0
    ) -> None:
        """Tell of `step` of `total_steps`: it is shown to people, and asks whether the work is still wanted.

        Args:
            loss, accuracy: so far; NaN where it is not known.
            examples: trained on so far, from which the speed follows.

        Raises:
            Stopped: nobody waits for this round any more. Let it through: it ends the training.
        """
        ...


@dataclass(frozen=True)
class Lesson:
    """One round of local training.

    Attributes:
        model: with the global weights, from `train.x` to logits; train it in place or leave it alone.
        train, held_out: the node's examples; the held-out ones are for scoring, and may be none.
        spec: the whole task; `spec.training` is what this round asks for.
        round: from 1.
        seed: this node's, of this round; equal seeds are to give equal weights.
        partition_index: which share of the task's data this is; None for data of the node's own.
        progress: to be called now and then, after every step for choice.
    """

    model: nn.Module
    train: Examples
    held_out: Examples
    spec: TaskSpec
    round: int
    seed: int
    partition_index: int | None
    progress: Reporter

    @property
    def training(self) -> TrainingSpec:
        """Epochs, batch size, rates: as the task asks for this round."""
        return self.spec.training

    @property
    def proximal(self) -> float:
        """FedProx's μ: the loss is to have μ/2 |w - w_global|² more. 0 under any other rule."""
        return self.spec.aggregation.proximal


@dataclass(frozen=True)
class Learnt:
    """What a trainer answers.

    Attributes:
        weights: the trained model's, by the names of its `state_dict`, all of them: local weights, not a difference.
        num_examples: different examples trained on, by which the mean weighs them.
        num_steps: steps of the optimiser.
        metrics: e.g. train_loss; names of lower-case letters, digits and `_`. What is not finite is left out.
    """

    weights: Tensors
    num_examples: int
    num_steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)


Trainer = Callable[[Lesson], Learnt]
"""A function, or an object that is called like one. It may raise `Refused`; anything else becomes one."""


def check_trainable(spec: TaskSpec) -> None:
    """Refused (incompatible_node) where the task's rule needs more of the training than weights."""
    if spec.aggregation.control_variates:
        rule = spec.aggregation.rule
        problem = f"{rule} corrects every gradient by control variates, which a trainer of one's own knows nothing of."
        mend = "join without a trainer, or make a task with another rule"
        raise Refused(ErrorCode.INCOMPATIBLE_NODE, problem, mend)


def name_of(trainer: Trainer) -> str:
    """What a trainer is called: a finished update of another one is not passed off as its work. Two
    `functools.partial` are one where their functions and arguments are; arguments that are more than plain values are
    equal to nothing of another process."""
    if isinstance(trainer, functools.partial):
        given = _said((trainer.args, trainer.keywords))
        return f"{name_of(trainer.func)} with {hashlib.sha256(given.encode()).hexdigest()[:16]}"
    called = trainer if hasattr(trainer, "__qualname__") else type(trainer)
    return f"{called.__module__}.{called.__qualname__}"


def _said(value: Any) -> str:
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return f"{type(value).__name__} {value!r}"
        case tuple() | list():
            return f"{type(value).__name__} ({', '.join(map(_said, value))})"
        case dict():
            return f"dict ({', '.join(sorted(f'{_said(key)}: {_said(each)}' for key, each in value.items()))})"
        case _:
            return f"{_PROCESS} {id(value)}"


def reporter(on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> Reporter:
    """A lesson's `progress`."""
    started = time.perf_counter()

    def progress(
        step: int, total_steps: int, loss: float, accuracy: float = math.nan, *, epoch: int = 1, examples: int = 0
    ) -> None:
        if should_stop():
            raise Stopped
        speed = examples / max(time.perf_counter() - started, 1e-9)
        on_progress(Progress(int(step), int(total_steps), int(epoch), float(loss), float(accuracy), speed))

    return progress


def learn(trainer: Trainer, lesson: Lesson, start: Tensors) -> Learnt:
    """What `trainer` makes of `lesson`, checked; its weights in the model's dtypes and in memory of their own.

    Args:
        start: the global weights, whose names, shapes and dtypes the answer's have to have.

    Raises:
        Stopped: the work is no longer wanted.
        Refused: BAD_UPDATE for weights that do not fit (the tensor is named) or a trainer that broke; BAD_COUNT.
    """
    try:
        learnt = trainer(lesson)
    except (Refused, Stopped):
        raise
    except Exception as error:
        problem = f"the trainer failed in round {lesson.round}: {type(error).__name__}: {error}"
        raise Refused(ErrorCode.BAD_UPDATE, _ended(problem), "mend the training function and start again") from error
    if not isinstance(learnt, Learnt):
        raise Refused(ErrorCode.BAD_UPDATE, f"the trainer answered {type(learnt).__name__}, not Learnt.", _MEND)
    weights = fitted(learnt.weights, start)
    examples, steps = _count("num_examples", learnt.num_examples), _count("num_steps", learnt.num_steps)
    return Learnt(weights, examples, steps, _metrics(learnt.metrics))


def fitted(weights: Mapping[str, Any], start: Tensors) -> dict[str, torch.Tensor]:
    """`weights` as the model's: each name there, in its shape, finite; copied, in its dtype. Refused BAD_UPDATE."""
    if not isinstance(weights, Mapping):
        raise Refused(ErrorCode.BAD_UPDATE, f"the trainer's weights are {type(weights).__name__}, no mapping.", _MEND)
    for name in weights:
        if name not in start:
            raise Refused(ErrorCode.BAD_UPDATE, f"tensor {shown(str(name))} is none of the model's.", _MEND)
    found = {}
    for name, info in layout_of(start).items():
        if name not in weights:
            raise Refused(ErrorCode.BAD_UPDATE, f"tensor {shown(name)} is missing from the trained weights.", _MEND)
        tensor = _tensor(name, weights[name])
        if tuple(tensor.shape) != tuple(info.shape):
            problem = f"tensor {shown(name)} has shape {list(tensor.shape)}, where the model's is {list(info.shape)}."
            raise Refused(ErrorCode.BAD_UPDATE, problem, _MEND)
        cast = tensor.to(start[name].dtype, copy=True)
        if not _holds(cast, tensor):
            mend = "lower the learning rate (training.learning_rate) or clip gradients"
            problem = f"tensor {shown(name)} holds NaN or infinite values, or larger ones than {info.dtype} does."
            raise Refused(ErrorCode.BAD_UPDATE, problem, mend)
        found[name] = cast
    return found


def _holds(cast: torch.Tensor, tensor: torch.Tensor) -> bool:
    """Whether nothing was or became infinite: float32 holds less than float64, and whole numbers less than either."""
    if not bool(tensor.isfinite().all()) or not bool(cast.isfinite().all()):
        return False
    return cast.is_floating_point() or bool(((cast.double() - tensor.double()).abs() < 1).all())


def _tensor(name: str, values: Any) -> torch.Tensor:
    """In this process's memory, of real numbers."""
    try:
        tensor = torch.as_tensor(values).detach().cpu()
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
    except Exception as error:  # torch raises many kinds for what is no tensor
        problem = f"tensor {shown(name)} cannot be made of {type(values).__name__}: {str(error)[:200]}"
        raise Refused(ErrorCode.BAD_UPDATE, _ended(problem), _MEND) from error
    if tensor.is_complex() or tensor.is_quantized:
        problem = f"tensor {shown(name)} holds {tensor.dtype}, and the model real numbers."
        raise Refused(ErrorCode.BAD_UPDATE, problem, _MEND)
    return tensor


def _count(name: str, count: Any) -> int:
    """As a whole number, NumPy's too."""
    try:
        whole = 0 if isinstance(count, bool) else operator.index(count)
    except TypeError:
        whole = 0
    if not 0 < whole <= MOST_COUNTED:
        said = repr(count)[:80] if whole.bit_length() < 64 else "beyond 2^53"
        problem = f"the trainer's {name} is {said}, no whole number from 1."
        raise Refused(ErrorCode.BAD_COUNT, problem, "count what was trained on, and the steps taken")
    return whole


def _metrics(metrics: Any) -> dict[str, float]:
    if not isinstance(metrics, Mapping):
        problem = f"the trainer's metrics are {type(metrics).__name__}, no mapping."
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, 'report {"train_loss": 0.5}, or leave metrics out')
    if len(metrics) > MOST_METRICS:
        problem = f"the trainer reports {len(metrics)} metrics; allowed are {MOST_METRICS}."
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "report the few that matter")
    for name in metrics:
        if not _METRIC.fullmatch(str(name)):
            problem = f"the trainer's metric {str(name)[:80]!r} has a name that no server takes."
            mend = "use lower-case letters, digits, _ and ., a letter first, 64 in all"
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, mend)
    values = {str(name): _metric(str(name), value) for name, value in metrics.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _metric(name: str, value: Any) -> float:
    try:
        if isinstance(value, str):  # float("1e3") is a number to Python, and to nobody who reads a report
            raise TypeError(f"{type(value).__name__} is no number")
        return float(value)
    except Exception as error:  # tensors and arrays raise many kinds
        problem = f"the trainer's metric {name} is {type(value).__name__}, no number: {str(error)[:120]}"
        raise Refused(ErrorCode.INVALID_ARGUMENT, _ended(problem), "report one number by each name") from error


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
