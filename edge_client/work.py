"""One round's work on a node: score the received model, train it, and say what changed. No network here."""

from __future__ import annotations

import hashlib
import math
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_client.data import Share
from federation.aggregation.methods import options_of
from federation.evaluation import Evaluation, evaluate
from federation.spec import AggregationSpec, TaskSpec
from federation.training import Progress, Trained, train
from federation.weights import load, pack_update, subtract
from resources.models.catalogue import create_model


@dataclass(frozen=True)
class Update:
    """A trained update, ready to be sent: `payload` is the safetensors file of the delta."""

    payload: bytes
    sha256: str
    trained: Trained
    received: Evaluation | None

    @property
    def metrics(self) -> dict[str, float]:
        """What the server is told beside the delta; JSON knows no value that is not finite."""
        trained = self.trained
        metrics = {
            "train_loss": trained.loss,
            "train_accuracy": trained.accuracy,
            "train_seconds": trained.seconds,
            "memory_bytes": float(memory_bytes()),
        }
        if self.received is not None:
            metrics["eval_loss"] = self.received.loss
            metrics["eval_accuracy"] = self.received.accuracy
            metrics["eval_examples"] = float(self.received.num_examples)
        return {name: value for name, value in metrics.items() if math.isfinite(value)}


def make_update(
    spec: TaskSpec,
    assignment: Mapping[str, Any],
    model_file: Path,
    share: Share,
    *,
    seed: int,
    threads: int,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Update:
    """Train the model of `assignment` on `share`; the update is what training added to it (local minus global).

    Raises:
        Stopped: `should_stop` answered true.
        Refused: training diverged.
    """
    torch.set_num_threads(threads)  # OpenMP counts threads per calling thread, and this one is a worker
    received = load(model_file)
    model = _build(spec, assignment, model_file)
    scored = evaluate(model, share.held_out) if spec.evaluation.nodes and len(share.held_out) else None
    trained = train(
        model,
        share.train,
        spec.training,
        seed=seed,
        proximal=proximal(spec.aggregation),
        on_progress=on_progress,
        should_stop=should_stop,
    )
    payload = pack_update(subtract(model.state_dict(), received))
    return Update(payload, hashlib.sha256(payload).hexdigest(), trained, scored)


def proximal(aggregation: AggregationSpec) -> float:
    """μ of the proximal term that the task's method asks of nodes; 0 where it asks for none."""
    if aggregation.rule not in ("fedprox", "fednova"):
        return 0.0
    return float(options_of(aggregation.rule, aggregation.options).mu)


def score(spec: TaskSpec, assignment: Mapping[str, Any], model_file: Path, share: Share, *, threads: int) -> Evaluation:
    """The received model's score on the held-out examples."""
    torch.set_num_threads(threads)
    return evaluate(_build(spec, assignment, model_file), share.held_out)


def memory_bytes() -> int:
    """The most memory that this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _build(spec: TaskSpec, assignment: Mapping[str, Any], model_file: Path) -> nn.Module:
    model = create_model(
        spec.model.id,
        input_shape=tuple(int(side) for side in assignment["input_shape"]),
        num_classes=int(assignment["num_classes"]),
        options=spec.model.options,
    )
    model.load_state_dict(load(model_file))
    return model
