"""Runs code in a process of its own, behind every fence that this machine has, and hears its answer out in bounds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from orchestrator.sandbox import bounds as by_whom
from orchestrator.sandbox.bounds import CALLER, CLOCK, CPU, FILE, ITSELF, MEMORY, OUTPUT, Bounds
from orchestrator.sandbox.hearing import Heard, clean, parsed

_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
_START += "from orchestrator.sandbox.child import main; main(Path(sys.argv[2]))"
_SIGNALS: dict[int, str] = {signal.SIGXCPU: CPU, signal.SIGKILL: MEMORY, signal.SIGXFSZ: FILE}
_STOPPERS = (by_whom.AUDIT, CPU, FILE, MEMORY, by_whom.NO_FENCE, ITSELF)
_MOST_ATTEMPTS, _MOST_ATTEMPT, _MOST_PROBLEM = 20, 200, 1_000


@dataclass(frozen=True)
class Ran:
    """What became of the code. Its texts are clean; what they say is the code's.

    Attributes:
        by: who stopped it; "" where it came to its end.
        problem: in what words.
        held: the fences that were up before the code began.
        answer: what the code's process says of itself. Code wrote it, perhaps: only data.
        payload: the update's file.
        attempts: what the audit hook refused.
        output: the end of what it printed.
    """

    by: str = ""
    problem: str = ""
    held: Sequence[str] = ()
    answer: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""
    attempts: Sequence[str] = ()
    output: str = ""


def run(
    folder: Path,
    order: Mapping[str, Any],
    bounds: Bounds,
    *,
    hidden: Sequence[Path],
    most_bytes: int,
    stop: Event | None = None,
) -> Ran:
    """Carry out `order` on what is in `folder`; call it from a thread.

    Args:
        folder: model, examples and code, as the child reads them; nobody else's, and gone afterwards.
        hidden: folders that the code must not see; those in which Python finds what it needs stay seen.
        most_bytes: of the update's file.
        stop: ends it early, once it is set.
    """
    work = folder / "work"
    work.mkdir(mode=0o700)
    said, tell = os.pipe()
    places = [str(place) for place in hidden if _can_be_hidden(place, folder)]
    document = dict(order) | {"bounds": asdict(bounds), "out": tell, "hidden": places}
    (folder / "order.json").write_text(json.dumps(document))
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-I", "-B", "-c", _START, str(_ROOT), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(tell,),
        env=_environment(work),
        cwd=work,
        start_new_session=True,
    )
    os.close(tell)
    assert child.stdout is not None  # noqa: S101 - asked for above
    try:
        heard = Heard(child, said, bounds, most_bytes, stop or Event())
        stopped = heard.out()
    finally:
        _end(child)
        child.stdout.close()
        os.close(said)
    return _became(heard, stopped, child.returncode, bounds)


def _became(heard: Heard, stopped: str, code: int, bounds: Bounds) -> Ran:
    begun, output = heard.begun, clean(heard.printed.decode(errors="replace"), len(heard.printed))
    held = begun.held if begun else ()
    attempts, line, payload = _parts(bytes(heard.words))
    if stopped:
        seconds = bounds.clock_seconds if begun else bounds.start_seconds
        most = {CLOCK: f"{seconds:g} s", OUTPUT: f"{bounds.output_bytes:,} bytes", CALLER: "its caller's word"}
        most |= {MEMORY: f"{bounds.memory_bytes:,} bytes of memory"}
        return Ran(stopped, f"it was ended at {most[stopped]}", held, attempts=attempts, output=output)
    answer = parsed(line)
    if code == 0 and isinstance(answer, dict):
        by = answer.get("by", "")
        known = by if by in ("", *_STOPPERS) else ITSELF
        problem = clean(answer.get("problem", ""), _MOST_PROBLEM)
        return Ran(known, problem, held, answer, payload, attempts, output)
    out_of_time = begun is not None and heard.cpu_seconds >= begun.cpu_seconds + bounds.cpu_seconds
    return Ran(*_ended_by(code, out_of_time), held, attempts=attempts, output=output)


def _parts(words: bytes) -> tuple[list[str], bytes, bytes]:
    """What was refused, the answer's line, and the update."""
    attempts: list[str] = []
    while True:
        line, _, words = words.partition(b"\n")
        refused = parsed(line)
        if not isinstance(refused, str) or len(attempts) == _MOST_ATTEMPTS:
            return attempts, line, words
        attempts.append(clean(refused, _MOST_ATTEMPT))


def _ended_by(code: int, out_of_time: bool) -> tuple[str, str]:
    """A process that ignores the signal of its CPU limit is ended by the one that memory's end sends, too."""
    number = -code if code < 0 else code - 128
    if number in _SIGNALS:
        return CPU if out_of_time else _SIGNALS[number], f"its process was ended by signal {number}"
    return ITSELF, f"its process ended with code {code} and without an answer"


def _environment(work: Path) -> dict[str, str]:
    """Nothing of the server's: its token, keys and settings are in there."""
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    homes = dict.fromkeys(("HOME", "TMPDIR", "FLWR_HOME", "XDG_CACHE_HOME"), str(work))
    offline = {"HF_HUB_OFFLINE": "1", "FLWR_TELEMETRY_ENABLED": "0"}
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"} | one_thread | homes | offline


def _can_be_hidden(place: Path, folder: Path) -> bool:
    place = place.resolve()
    needed = [folder.resolve(), Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), _ROOT]
    needed += [Path(each).resolve() for each in sys.path if each]
    return place.is_dir() and not any(place == each or place in each.parents for each in needed)


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
