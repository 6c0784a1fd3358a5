"""The process in which generated code runs one round: fences first, then the code, then its update through a pipe.

`order.json` in its folder says what to do; the other files there are the model, the examples and the code. Standard
output is the code's; on the descriptor of the order go lines of JSON, what holds, what was refused (texts) and what
came of it, and, where there is an update, its bytes.
"""

from __future__ import annotations

import errno
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestrator.sandbox import landlock, namespaces, privileges, system_calls
from orchestrator.sandbox.audit import Barred, stand_guard
from orchestrator.sandbox.bounds import AUDIT, CPU, FILE, ITSELF, MEMORY, NO_FENCE, Bounds
from orchestrator.sandbox.watching import resident

if TYPE_CHECKING:
    from federation.trainer import Lesson

_PLACES = ("/dev/null", "/dev/urandom", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu")
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_ROOT = Path(__file__).resolve().parents[2]
_FAILED = ITSELF
_UNSOUND = "neither namespaces nor Landlock keep files from code on this machine, or system calls cannot be filtered"
_GRACE_S = 5


def main(folder: Path) -> None:
    """Do what `order.json` says, in namespaces if they can be had."""
    order = json.loads((folder / "order.json").read_text())
    bounds, out = Bounds(**order["bounds"]), int(order["out"])
    signal.alarm(
        math.ceil(bounds.start_seconds + bounds.clock_seconds) + _GRACE_S
    )  # should nobody be left to end this process
    hidden = [Path(place) for place in order["hidden"]]
    work = folder / "work"
    held = namespaces.enter(work, hidden, room=bounds.file_bytes, leaving=(1, 2, out))
    if not held and privileges.drop():
        held.append("no privileges")
    os.chdir(work)
    lesson, begin = _lesson(folder, order)
    for module in order["modules"]:
        importlib.import_module(module)  # what the code will import, while that is still allowed
    code, readable = (folder / "client.py").read_text(), [*_readable(), str(folder)]
    used = int(time.process_time()) + 1
    held += _limit(bounds, used)
    if landlock.restrict(str(work), readable):
        held.append("file rules")
    if system_calls.forbid():
        held.append("system call filter")
    sound = _sound(held, hidden, readable)
    stand_guard(str(work), readable, order["hidden"], lambda what: _tell(out, what))
    begun = {"held": [*held, "audit hook"], "resident_bytes": resident(os.getpid()), "cpu_seconds": used}
    _tell(out, begun)  # before there is code that could say so
    if sound:
        answer, payload = _round(begin, lesson, code, order["entry"])
    else:
        answer, payload = {"by": NO_FENCE, "problem": _UNSOUND}, b""
    with suppress(Exception):
        sys.stdout.flush()
    _tell(out, answer | {"peak_memory_bytes": _peak()})
    view = memoryview(payload)
    while view:
        view = view[os.write(out, view) :]
    os._exit(0)


def _tell(out: int, what: Any) -> None:
    os.write(out, json.dumps(what).encode() + b"\n")


def _sound(held: Sequence[str], hidden: Sequence[Path], readable: Sequence[str]) -> bool:
    """Whether the kernel keeps system calls and files from the code: without that it does not begin."""
    mounts = {"read-only file system", *(f"hidden {place.name}" for place in hidden)} <= set(held)
    seen = [Path(place).resolve() for place in readable]
    rules = "file rules" in held and not any(place.resolve().is_relative_to(each) for place in hidden for each in seen)
    return "system call filter" in held and (mounts or rules)


def _lesson(folder: Path, order: Mapping[str, Any]) -> tuple[Lesson, Mapping[str, Any]]:
    """The round, and the weights it begins with; PyTorch has loaded what it loads on first use."""
    import torch

    from federation.examples import Examples
    from federation.spec import parse_spec
    from federation.threads import use_threads
    from federation.trainer import Lesson, reporter
    from federation.weights import load
    from resources.models.catalogue import model_of

    use_threads(1)
    spec, tensors = parse_spec(order["spec"]), load(folder / "examples.safetensors")
    shape, classes = tuple(order["input_shape"]), order["num_classes"]
    begin = {name: tensor.clone() for name, tensor in load(folder / "model.safetensors").items()}
    of = {"input_shape": shape, "num_classes": classes, "options": spec.model.options}
    model = model_of(spec.model.id, {name: tensor.clone() for name, tensor in begin.items()}, **of)
    _warm_up(torch)
    model.train()
    train, held = (Examples(tensors[f"{part}/x"], tensors[f"{part}/y"]) for part in ("train", "held_out"))
    telling = reporter(lambda progress: None, lambda: False)
    return Lesson(model, train, held, spec, order["round"], order["seed"], 0, telling), begin


def _warm_up(torch: Any) -> None:
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        layer = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Flatten(), torch.nn.Linear(8, 2))
        optimizer = kind(layer.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        torch.nn.functional.cross_entropy(layer(torch.zeros(2, 1, 2, 2)), torch.tensor([0, 1])).backward()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _limit(bounds: Bounds, used: int) -> list[str]:
    from resources.child_limits import limit_memory

    wanted = {
        resource.RLIMIT_CPU: used + bounds.cpu_seconds,
        resource.RLIMIT_FSIZE: bounds.file_bytes,
        resource.RLIMIT_NOFILE: bounds.files,
        resource.RLIMIT_NPROC: bounds.processes,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least + 1 if kind == resource.RLIMIT_CPU and least < most + 1 else least))
    held = ["CPU limit", "file size limit"]
    return [*held, "memory limit"] if limit_memory(bounds.memory_bytes) else held


def _readable() -> list[str]:
    """The interpreter, its libraries and this project's packages; of the system, what PyTorch looks at."""
    ours = [str(place.parent) for place in _ROOT.glob("*/__init__.py")]
    paths = [place for place in sys.path if place and Path(place).resolve() != _ROOT]
    return [sys.prefix, sys.base_prefix, *paths, *ours, *_PLACES, *_LIBRARIES]


def _round(
    begin: Mapping[str, Any], lesson: Lesson, code: str, entry: str
) -> tuple[dict[str, Any], bytes | memoryview]:
    from federation.errors import Refused
    from federation.trainer import learn
    from federation.weights import pack_update, subtract

    started = time.perf_counter()
    try:
        module = sys.modules["generated_client"] = ModuleType("generated_client")  # dataclasses look there
        exec(compile(code, "client.py", "exec"), vars(module))  # noqa: S102 - what this process is for
        learnt = learn(vars(module)[entry], lesson, begin)
        payload = pack_update(subtract(learnt.weights, begin))
    except Refused as refused:
        cause = refused.__cause__
        by = _stopped_by(cause) if isinstance(cause, Exception) else _FAILED
        return {"by": by, "problem": refused.problem[:1000]}, b""
    except Exception as error:
        return {"by": _stopped_by(error), "problem": f"{type(error).__name__}: {error}"[:1000]}, b""
    counts = {"num_examples": learnt.num_examples, "num_steps": learnt.num_steps, "metrics": dict(learnt.metrics)}
    return counts | {"seconds": time.perf_counter() - started}, payload


def _stopped_by(error: Exception) -> str:
    if isinstance(error, Barred):
        return AUDIT
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "alloc" in str(error)):
        return MEMORY
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC):
        return FILE
    if isinstance(error, TimeoutError):
        return CPU
    return _FAILED


def _peak() -> int:
    from resources.child_limits import peak_memory

    return peak_memory()
