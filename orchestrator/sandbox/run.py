"""Runs code in a process of its own, behind every fence that this machine has, and hears its answer out in bounds."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.sandbox.bounds import CLOCK, CPU, ITSELF, MEMORY, OUTPUT, Bounds

_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
_START += "from orchestrator.sandbox.child import main; main(Path(sys.argv[2]))"
_MOST_WORDS = 64 << 10
_TAIL = 2_000
_SIGNALS: dict[int, str] = {signal.SIGXCPU: CPU, signal.SIGKILL: MEMORY, signal.SIGXFSZ: "file size limit"}


@dataclass(frozen=True)
class Ran:
    """What became of the code.

    Attributes:
        by: who stopped it; "" where it came to its end.
        problem: in what words.
        held: the fences that were up before the code began.
        answer: what the code's process says of itself. Code wrote it, perhaps: only data.
        payload: the update's file.
        output: the end of what it printed.
    """

    by: str = ""
    problem: str = ""
    held: Sequence[str] = ()
    answer: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""
    output: str = ""


def run(folder: Path, order: Mapping[str, Any], bounds: Bounds, *, hidden: Sequence[Path], most_bytes: int) -> Ran:
    """Carry out `order` on what is in `folder`; call it from a thread.

    Args:
        folder: model, examples and code, as the child reads them; nobody else's, and gone afterwards.
        hidden: folders that the code must not see; those in which Python finds what it needs stay seen.
        most_bytes: of the update's file.
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
        heard = _Heard(child.stdout.fileno(), said, bounds, most_bytes)
        stopped = heard.out()
        if stopped:
            _end(child)
        code = child.wait(max(0.1, heard.deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        stopped = CLOCK
    finally:
        _end(child)
        child.stdout.close()
        os.close(said)
    fences, _, rest = bytes(heard.words).partition(b"\n")
    held, output = _list(fences), heard.printed.decode(errors="replace")
    if stopped:
        seconds = bounds.clock_seconds if held else bounds.start_seconds
        most = f"{seconds:g} s" if stopped == CLOCK else f"{bounds.output_bytes:,} bytes"
        return Ran(stopped, f"it was ended at {most}", held, output=output)
    line, _, payload = rest.partition(b"\n")
    answer = _object(line)
    if code == 0 and answer is not None:
        by, problem = str(answer.get("by", ""))[:40], str(answer.get("problem", ""))[:1000]
        return Ran(by, problem, held, answer, payload, output)
    return Ran(*_ended_by(code), held, output=output)


class _Heard:
    """Reads what the process prints and what it answers, until both are closed or a bound is met."""

    def __init__(self, printing: int, answering: int, bounds: Bounds, most_bytes: int) -> None:
        self.deadline = time.monotonic() + bounds.start_seconds
        self._clock_s: float | None = bounds.clock_seconds
        self.printed, self.words = b"", bytearray()
        self._most = {printing: bounds.output_bytes, answering: most_bytes + _MOST_WORDS}
        self._printing = printing

    def out(self) -> str:
        """Who has to stop it, or ""."""
        read = dict.fromkeys(self._most, 0)
        with selectors.DefaultSelector() as selector:
            for descriptor in self._most:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                left = self.deadline - time.monotonic()
                if left <= 0:
                    return CLOCK
                for key, _ in selector.select(left):
                    said = os.read(key.fd, 1 << 16)
                    if not said:
                        selector.unregister(key.fd)
                    read[key.fd] += len(said)
                    if read[key.fd] > self._most[key.fd]:
                        return OUTPUT
                    if key.fd == self._printing:
                        self.printed = (self.printed + said)[-_TAIL:]
                    else:
                        self.words += said
                        self._wind_up()
        return ""

    def _wind_up(self) -> None:
        """With the first line the code begins, and so does its time."""
        if self._clock_s is not None and b"\n" in self.words:
            self.deadline, self._clock_s = time.monotonic() + self._clock_s, None


def _ended_by(code: int) -> tuple[str, str]:
    number = -code if code < 0 else code - 128
    if number in _SIGNALS:
        return _SIGNALS[number], f"its process was ended by signal {number}"
    return ITSELF, f"its process ended with code {code} and without an answer"


def _list(line: bytes) -> list[str]:
    try:
        return [str(each) for each in json.loads(line)]
    except ValueError:  # the code never began
        return []


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


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
