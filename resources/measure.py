"""One real training step in a process of its own, under limits: what a model costs here before a task commits to it.

`python -m resources.measure --memory-bytes N --cpu-seconds S` reads a task spec as JSON on standard input and prints
one line of JSON.

Memory is limited as `resources.child_limits` says: after the imports, so that the allowance is the model's alone.
CPU time is limited by `RLIMIT_CPU` on both, and the parent adds a limit on the clock.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, derive_seed, parse_spec
from resources.child_limits import limit_memory, peak_memory

if TYPE_CHECKING:
    import torch

    from federation.examples import Examples
    from resources.workload import Workload


@dataclass(frozen=True)
class _Bounds:
    """What a trial may take, at most."""

    memory_bytes: int
    cpu_seconds: int
    clock_seconds: float


_LOOK_EVERY_S = 0.25
_OF_CATALOGUE = _Bounds(1 << 30, 30, 60)
_OF_LANGUAGE = _Bounds(8 << 30, 150, 300)


@dataclass(frozen=True)
class Measured:
    """What one training step was.

    Attributes:
        seconds_per_step: the fastest of the steps that fitted into a second (at least one after a first, slower one).
        peak_memory_bytes: most memory resident at once, in the whole process.
        baseline_memory_bytes: the same before the model was built: PyTorch itself.
        loss: of the first step, on random inputs; about log(classes) for a sound model.
        memory_limited: whether the memory limit was enforced by the system.
    """

    seconds_per_step: float
    peak_memory_bytes: int
    baseline_memory_bytes: int
    loss: float
    memory_limited: bool


def measure(
    spec: TaskSpec,
    *,
    memory_bytes: int | None = None,
    cpu_seconds: int | None = None,
    clock_seconds: float | None = None,
    models: Path | None = None,
    stop: Event | None = None,
) -> Measured:
    """Run this module as a child process on `spec` and wait for it (call it from a thread).

    Args:
        memory_bytes, cpu_seconds, clock_seconds: what the step may take; by default 1 GiB and a minute, for a
            pretrained language model eight times the memory and five minutes.
        models: folder of base models by name.
        stop: ends it early, once it is set.

    Raises:
        Refused: INVALID_SPEC when the step exceeds the memory, CPU or clock limit, fails, or is ended early.
    """
    bounds = _OF_LANGUAGE if spec.model.pretrained else _OF_CATALOGUE
    memory_bytes = bounds.memory_bytes if memory_bytes is None else memory_bytes
    cpu_seconds = bounds.cpu_seconds if cpu_seconds is None else cpu_seconds
    clock_seconds = bounds.clock_seconds if clock_seconds is None else clock_seconds
    arguments = ["--memory-bytes", str(memory_bytes), "--cpu-seconds", str(cpu_seconds)]
    if models is not None:
        arguments += ["--models", str(models.resolve())]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "resources.measure", *arguments]
    code, said, complaint = _ran(command, spec.model_dump_json(), environment, clock_seconds, stop or Event())
    if code == 0:
        return Measured(**json.loads(said))
    if code < 0:
        raise _too_much(f"the trial step was ended by signal {-code} (limit: {cpu_seconds} s of CPU)")
    try:
        raise Refused(ErrorCode.INVALID_SPEC, **json.loads(said))
    except (json.JSONDecodeError, TypeError):
        last = complaint.strip().rsplit("\n", 1)[-1]
        raise _too_much(f"the trial step failed: {last or 'no message'}") from None


def _ran(
    command: list[str], order: str, environment: dict[str, str], clock_seconds: float, stop: Event
) -> tuple[int, str, str]:
    """The code with which it ended, and what it said on standard output and error."""
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parent.parent,
    )
    deadline = time.monotonic() + clock_seconds
    said_once: str | None = order
    with child:
        while True:
            try:
                said, complaint = child.communicate(said_once, timeout=min(_LOOK_EVERY_S, clock_seconds))
            except subprocess.TimeoutExpired:
                said_once = None
                if stop.is_set():
                    child.kill()
                    raise _too_much("one training step was ended before it was done") from None
                if time.monotonic() >= deadline:
                    child.kill()
                    raise _too_much(f"one training step took more than {clock_seconds:g} s") from None
            else:
                return child.returncode, said, complaint


def _too_much(problem: str) -> Refused:
    return Refused(ErrorCode.INVALID_SPEC, f"{problem}.", "choose a smaller model or training.batch_size")


def _step(spec: TaskSpec, memory_bytes: int, models: Path | None = None) -> Measured:
    """Build the model and train it on one random batch. Runs in the child."""
    import torch

    from federation.evaluation import objective_of
    from federation.examples import Examples
    from federation.threads import use_threads
    from federation.training import train
    from resources.workload import Workload

    use_threads(1)
    workload = Workload(models=models)
    needed = workload.estimate(spec).memory_bytes
    if needed > memory_bytes:
        raise _too_much(f"the task needs about {needed / 1e6:,.0f} MB and the limit is {memory_bytes / 1e6:,.0f} MB")
    one_step = spec.training.model_copy(update={"epochs": 1, "max_steps": 1})
    _warm_up(Examples(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64)))
    baseline, limited = peak_memory(), limit_memory(memory_bytes)
    try:
        model = workload.build(spec)
        examples = _random_examples(spec, workload, torch.Generator().manual_seed(derive_seed(spec.seed, "measure")))
        first, until, fastest = None, time.perf_counter() + 1, math.inf
        while first is None or fastest == math.inf or time.perf_counter() < until:
            trained = train(model, examples, one_step, seed=spec.seed, objective=objective_of(spec.model))
            if first is None:
                first = trained.loss
            else:
                fastest = min(fastest, trained.seconds)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        raise _too_much(f"one training step needs more than {memory_bytes / 1e6:,.0f} MB") from None
    return Measured(fastest, peak_memory(), baseline, first, limited)


def _random_examples(spec: TaskSpec, workload: Workload, generator: torch.Generator) -> Examples:
    """One batch."""
    import torch

    from federation.examples import Examples

    (shape, classes), n = workload.schema_for(spec), spec.training.batch_size
    if not spec.model.pretrained:
        return Examples(torch.rand((n, *shape), generator=generator), torch.randint(classes, (n,), generator=generator))
    ids = torch.randint(workload.vocabulary(spec), (n, *shape), generator=generator)
    return Examples(ids, torch.randint(classes, (n,), generator=generator) if spec.model.classifies else ids)


def _warm_up(examples: Any) -> None:
    """A step of next to nothing, so that what PyTorch loads on first use counts as PyTorch's."""
    from torch import nn

    from federation.spec import TrainingSpec
    from federation.training import train

    train(nn.Linear(1, 2), examples, TrainingSpec(), seed=0)


def main() -> int:
    """Read a spec on standard input; print the measurement, or the refusal and exit with 1."""
    parser = argparse.ArgumentParser(prog="python -m resources.measure", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--memory-bytes", type=int, default=_OF_CATALOGUE.memory_bytes)
    parser.add_argument("--cpu-seconds", type=int, default=_OF_CATALOGUE.cpu_seconds)
    parser.add_argument("--models", type=Path)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CPU, (arguments.cpu_seconds, arguments.cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    raw: Mapping[str, Any] = json.load(sys.stdin)
    try:
        print(json.dumps(asdict(_step(parse_spec(raw), arguments.memory_bytes, arguments.models))))
    except Refused as refused:
        print(json.dumps({"problem": refused.problem, "mend": refused.mend}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
