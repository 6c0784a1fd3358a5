"""One real round of a generated client, in the sandbox: its update is judged as a node's would be."""

from __future__ import annotations

import ast
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import torch
from torch import Tensor

from federation.coordinator.submissions import check_counts, check_metrics
from federation.errors import Refused
from federation.evaluation import judge
from federation.examples import Examples
from federation.spec import TaskSpec, derive_seed
from federation.training import total_steps
from federation.weights import DELTA, add, check_update, layout_bytes, load, read_layout, to_bytes
from orchestrator.clients.template import ENTRY, Framework, Subject
from orchestrator.sandbox.bounds import Bounds
from orchestrator.sandbox.hearing import clean
from orchestrator.sandbox.run import Ran, run
from resources.datasets import catalogue
from resources.models.catalogue import model_of
from resources.workload import Workload

EXAMPLES, HELD_OUT, MOST_STEPS = 256, 64, 50
_MOST_WORDS, _MOST_METRICS, _MOST_NAME = 500, 64, 100
_UNCHANGED = "the update changes nothing: the weights came back as they were"


@dataclass(frozen=True)
class Trial:
    """What a round was.

    Attributes:
        accepted: whether a server would take the update.
        reason: why not, in words; "" where it is accepted.
        stopped_by: who ended the code, where someone had to; e.g. "clock", "memory limit", "audit hook".
        seconds: of training.
        loss_before, loss_after: of the global and of the trained model on the examples of the round, as this process
            measures them on the update that came.
        num_examples, num_steps, metrics, peak_memory_bytes: as the code's process says.
        norm: of the update, L2.
        data: what it trained on, in words.
        sandbox: which fences held.
        attempts: what the code tried and was refused.
        output: the end of what it printed.
        note: what is strange about an update that a server would take; "" where nothing is.
    """

    accepted: bool
    reason: str
    stopped_by: str = ""
    seconds: float | None = None
    loss_before: float | None = None
    loss_after: float | None = None
    num_examples: int | None = None
    num_steps: int | None = None
    metrics: Mapping[str, float] | None = None
    norm: float | None = None
    peak_memory_bytes: int | None = None
    data: str = ""
    sandbox: Sequence[str] = ()
    attempts: Sequence[str] = ()
    output: str = ""
    note: str = ""


def try_client(
    code: str,
    subject: Subject,
    framework: Framework,
    model_file: Path,
    *,
    round: int,
    workload: Workload,
    hidden: Sequence[Path],
    bounds: Bounds | None = None,
    stop: Event | None = None,
) -> Trial:
    """Run one round of `code` from the global weights in `model_file`; call it from a thread. It takes seconds.

    Args:
        hidden: folders whose content the code must not see, the server's data folder among them.
        stop: ends the round early, once it is set.
    """
    spec = _short(subject.spec)
    examples, held_out, words = _share(subject, spec, workload)
    base = load(model_file)
    tensors = {"train/x": examples.x, "train/y": examples.y, "held_out/x": held_out.x, "held_out/y": held_out.y}
    with tempfile.TemporaryDirectory(prefix="potluck-trial-") as name:
        folder = Path(name)
        (folder / "model.safetensors").write_bytes(to_bytes(base))
        (folder / "examples.safetensors").write_bytes(to_bytes(tensors))
        (folder / "client.py").write_text(code, encoding="utf-8")
        order = {
            "spec": spec.model_dump(mode="json"),
            "input_shape": list(subject.input_shape),
            "num_classes": subject.num_classes,
            "round": round,
            "seed": derive_seed(spec.seed, "trial", round),
            "entry": ENTRY[framework],
            "modules": _imported(code),
        }
        most = 2 * layout_bytes(read_layout(model_file)) + (1 << 20)
        ran = run(folder, order, bounds or Bounds(), hidden=hidden, most_bytes=most, stop=stop)
        trial = _judged(ran, subject, spec, folder, base, examples)
    return replace(trial, data=words, sandbox=list(ran.held), output=ran.output[-_MOST_WORDS:])


def _judged(
    ran: Ran, subject: Subject, spec: TaskSpec, folder: Path, base: Mapping[str, Tensor], examples: Examples
) -> Trial:
    attempts = ran.attempts
    if ran.by:
        return Trial(False, ran.problem, ran.by, attempts=attempts)
    try:
        counts = {name: int(ran.answer[name]) for name in ("num_examples", "num_steps", "peak_memory_bytes")}
        metrics = {clean(name, _MOST_NAME): float(value) for name, value in dict(ran.answer["metrics"]).items()}
        seconds = _finite(float(ran.answer["seconds"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return Trial(False, "its process answered something else than a round", attempts=attempts)
    if len(metrics) > _MOST_METRICS or any(abs(count) >= 1 << 63 for count in counts.values()):
        return Trial(False, "its process answered numbers beyond measure", attempts=attempts)
    shown = {name: value for name, value in metrics.items() if math.isfinite(value)}
    said = Trial(True, "", seconds=seconds, metrics=shown, attempts=attempts, **counts)  # type: ignore[arg-type]
    update = folder / "update.safetensors"
    update.write_bytes(ran.payload)
    try:
        bound = spec.aggregation.max_update_norm
        norm = check_update(update, read_layout(folder / "model.safetensors"), max_norm=bound)
        check_counts(spec, counts["num_examples"], counts["num_steps"])
        check_metrics(metrics)
    except Refused as refused:
        return replace(said, accepted=False, reason=f"{refused.problem} {refused.mend}")
    delta = {name.removeprefix(DELTA): tensor for name, tensor in load(update).items()}
    before, after = (_loss(subject, weights, examples) for weights in (base, add(base, delta)))
    said = replace(said, norm=norm, loss_before=_finite(before), loss_after=_finite(after))
    if strange := _strange(said, subject.spec, len(examples)):
        return replace(said, accepted=False, reason=strange)
    return said if norm > 0 else replace(said, note=_UNCHANGED)


def _strange(said: Trial, spec: TaskSpec, given: int) -> str:
    """What no server could see, and this one can: it knows what the code was given."""
    steps, examples = said.num_steps or 0, said.num_examples or 0
    most = total_steps(given, spec.training)
    if steps > most:
        return f"it counts {steps} steps; the task's training takes {most} on {given} examples"
    if examples > given:
        return f"it counts {examples} examples and was given {given}"
    return f"it tried what a training has no use for: {said.attempts[0]}" if said.attempts else ""


def _short(spec: TaskSpec) -> TaskSpec:
    most = min(spec.training.max_steps or MOST_STEPS, MOST_STEPS)
    return spec.model_copy(update={"training": spec.training.model_copy(update={"max_steps": most})})


def _share(subject: Subject, spec: TaskSpec, workload: Workload) -> tuple[Examples, Examples, str]:
    """Examples to train on and to keep, and what they are: a node's first ones, or random ones of their shape."""
    most = EXAMPLES + HELD_OUT
    if spec.data.id != "own":
        try:
            found = catalogue.load(spec.data.id, "train", indices=workload.cut(spec)[0][:most])
        except Refused as refused:
            why = f"random examples: {refused.problem}"
        else:
            kept = min(HELD_OUT, len(found) // 5)
            parts = found.take(torch.arange(kept, len(found))), found.first(kept)
            return *parts, f"{len(parts[0])} examples of the first share of {spec.data.id}"
    else:
        why = "random examples: each node's own data stay with it"
    generator = torch.Generator().manual_seed(derive_seed(spec.seed, "trial", "examples"))
    x = torch.rand((64, *subject.input_shape), generator=generator)
    y = torch.randint(subject.num_classes, (64,), generator=generator)
    return Examples(x[8:], y[8:]), Examples(x[:8], y[:8]), f"56 {why}"


def _loss(subject: Subject, weights: Mapping[str, Tensor], examples: Examples) -> float:
    shape, classes, options = subject.input_shape, subject.num_classes, subject.spec.model.options
    model = model_of(subject.spec.model.id, weights, input_shape=shape, num_classes=classes, options=options)
    return judge(subject.spec.model, model, examples).loss


def _imported(code: str) -> list[str]:
    """What the code imports, to be loaded before the fences are up. It has been checked: only what may be."""
    nodes = ast.walk(ast.parse(code))
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    nodes = ast.walk(ast.parse(code))
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return sorted(set(names))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
