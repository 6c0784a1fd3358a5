"""One round's work on a node: score the received model, train it, and say what changed. No network here."""

from __future__ import annotations

import hashlib
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_client.checkpoints import Checkpoints
from edge_client.data import Share
from edge_client.models import Models
from edge_client.variates import LOST, AtHand, Control
from federation.aggregation.scaffold import change
from federation.errors import ErrorCode, Refused
from federation.evaluation import Evaluation, judge, objective_of
from federation.spec import TaskSpec
from federation.trainer import Learnt, Lesson, Trainer, learn, reporter
from federation.training import Progress, Stopped, Trained, Training, run, trained_parameters
from federation.weights import Tensors, layout_of, pack_update, subtract


@dataclass(frozen=True)
class Update:
    """A trained update, ready to be sent: `payload` is the safetensors file of the delta, the rest is what it is of."""

    payload: bytes
    sha256: str
    task_id: str
    round: int
    base_version: int
    base_sha256: str
    num_examples: int
    num_steps: int
    metrics: dict[str, float]

    @property
    def facts(self) -> dict[str, Any]:
        """All but the payload."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "payload"}

    def answers(self, assignment: Mapping[str, Any]) -> bool:
        """Whether it is the work that `assignment` asks for."""
        model = assignment.get("model", {})
        asked = (assignment["action"], assignment["task_id"], assignment.get("round"))
        base = (model.get("version"), model.get("sha256"))
        return asked == ("train", self.task_id, self.round) and base == (self.base_version, self.base_sha256)


def make_update(
    spec: TaskSpec,
    assignment: Mapping[str, Any],
    model_file: Path,
    share: Share,
    *,
    seed: int,
    threads: int,
    models: Models | None = None,
    variates: AtHand | None = None,
    checkpoints: Checkpoints | None = None,
    on_resumed: Callable[[Progress], None] = lambda progress: None,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Update:
    """Train the model of `assignment` on `share`; the update is what training added to it (local minus global).

    With `checkpoints` it goes on from the last one, and leaves one behind when it is stopped. Tasks with control
    variates need `variates`: training is corrected by them, and the round's own is kept before this returns.

    Args:
        models: builds what was received; default: with its defaults.

    Raises:
        Stopped: `should_stop` answered true.
        Refused: training diverged, or the base model is not the task's.
    """
    torch.set_num_threads(threads)  # OpenMP counts threads per calling thread, and this one is a worker
    received = (models or Models()).receive(spec, assignment, model_file)
    model = received.module
    scored = _scored(spec, model, share)
    control = variates.control(layout_of(received.start)) if variates is not None else None
    training = Training(
        model,
        share.train,
        spec.training,
        seed=seed,
        proximal=spec.aggregation.proximal,
        correction=control.correction if control is not None else None,
        objective=objective_of(spec.model),
    )
    if checkpoints is not None and checkpoints.resume(training):
        on_resumed(training.progress())
    try:
        after_step = checkpoints.after_step if checkpoints is not None else None
        trained = run(training, on_progress=on_progress, should_stop=should_stop, after_step=after_step)
    except Stopped:
        if checkpoints is not None and training.at.step:
            checkpoints.keep(training)
        raise
    delta, moved = subtract(model.state_dict(), received.start), None
    if control is not None:
        moved = _change(model, delta, control, trained, spec)
    metrics = _metrics(spec, trained, scored, share) | ({LOST: 1.0} if control is not None and control.lost else {})
    update = _update(assignment, pack_update(delta, moved), trained, metrics)
    if variates is not None and control is not None and moved is not None:
        variates.keep(update.sha256, control.moved(moved))
    return update


def update_by(
    trainer: Trainer,
    spec: TaskSpec,
    assignment: Mapping[str, Any],
    model_file: Path,
    share: Share,
    *,
    seed: int,
    threads: int,
    models: Models | None = None,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Update:
    """As `make_update`, with a training of the caller's own: no checkpoints, no control variates.

    Raises:
        Stopped: `should_stop` answered true when the trainer reported progress.
        Refused: as `federation.trainer.learn` refuses, or the base model is not the task's.
    """
    torch.set_num_threads(threads)
    received = (models or Models()).receive(spec, assignment, model_file)
    scored = _scored(spec, received.module, share)
    index, telling = assignment.get("partition_index"), reporter(on_progress, should_stop)
    number, started = int(assignment["round"]), time.perf_counter()
    lesson = Lesson(received.module, share.train, share.held_out, spec, number, seed, index, telling)
    learnt = learn(trainer, lesson, received.start)
    measured = {"train_seconds": time.perf_counter() - started, "memory_bytes": float(memory_bytes())}
    metrics = {**learnt.metrics, **measured, **_of_received(scored)}
    return _update(assignment, pack_update(subtract(learnt.weights, received.start)), learnt, metrics)


def _scored(spec: TaskSpec, model: nn.Module, share: Share) -> Evaluation | None:
    """The received model on the held-out examples, where the task asks for it and there are any."""
    return judge(spec.model, model, share.held_out) if spec.evaluation.nodes and len(share.held_out) else None


def _update(assignment: Mapping[str, Any], payload: bytes, done: Trained | Learnt, metrics: dict[str, float]) -> Update:
    return Update(
        payload=payload,
        sha256=hashlib.sha256(payload).hexdigest(),
        task_id=str(assignment["task_id"]),
        round=int(assignment["round"]),
        base_version=int(assignment["model"]["version"]),
        base_sha256=str(assignment["model"]["sha256"]),
        num_examples=done.num_examples,
        num_steps=done.num_steps,
        metrics=metrics,
    )


def _change(
    model: nn.Module, delta: Tensors, control: Control, trained: Trained, spec: TaskSpec
) -> dict[str, torch.Tensor]:
    """Δc_i. Refused (bad_update) where it is not finite."""
    names = {name for name, _ in trained_parameters(model)}
    rate = spec.training.learning_rate
    moved = change(delta, control.c, steps=trained.num_steps, learning_rate=rate, trained=names)
    for name, tensor in moved.items():
        if not bool(tensor.isfinite().all()):
            problem = f"the control variate of {name} is not finite."
            raise Refused(ErrorCode.BAD_UPDATE, problem, "raise training.learning_rate or the number of local steps")
    return moved


def score(
    spec: TaskSpec,
    assignment: Mapping[str, Any],
    model_file: Path,
    share: Share,
    *,
    threads: int,
    models: Models | None = None,
) -> Evaluation:
    """The received model's score on the held-out examples."""
    torch.set_num_threads(threads)
    return judge(spec.model, (models or Models()).receive(spec, assignment, model_file).module, share.held_out)


def _metrics(spec: TaskSpec, trained: Trained, received: Evaluation | None, share: Share) -> dict[str, float]:
    """What the server is told beside the delta; JSON knows no value that is not finite."""
    metrics: dict[str, float] = {
        "train_loss": trained.loss,
        "train_seconds": trained.seconds,
        "memory_bytes": float(memory_bytes()),
    }
    if spec.model.classifies:
        metrics["train_accuracy"] = trained.accuracy
    if spec.model.pretrained:
        metrics["train_tokens_per_s"] = trained.examples_per_s * share.train.tokens / len(share.train)
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return finite | _of_received(received)


def _of_received(received: Evaluation | None) -> dict[str, float]:
    """The score of the model that came."""
    if received is None:
        return {}
    scores = {"eval_loss": received.loss, "eval_accuracy": received.accuracy, "eval_perplexity": received.perplexity}
    scores["eval_examples"] = float(received.counted)
    return {name: value for name, value in scores.items() if value is not None and math.isfinite(value)}


def memory_bytes() -> int:
    """The most memory that this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
