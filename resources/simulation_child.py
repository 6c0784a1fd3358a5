"""The process that simulates a task for a server: `python -m resources.simulation_child`.

What it reads and says is described in `federation.simulation.child`, the other end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from federation.errors import Refused
from federation.simulation.delivered import Heard, History
from federation.simulation.options import Simulation
from federation.simulation.report import RoundFiles
from federation.simulation.run import simulate
from federation.simulation.simulated_round import Start, Trained
from federation.spec import parse_spec
from federation.threads import use_threads
from federation.weights import load
from resources.simulate import population_of

_NICE = 10
_EVERY_S = 0.25
"""Seconds between two words of progress."""


def main() -> int:
    """Simulates the task on standard input."""
    os.nice(_NICE)
    _be_the_first_to_go()
    use_threads(1)
    say = _mouth()
    line, early = _first_line()
    if not line:
        return 1  # the server is gone before it has said what to do
    request: Mapping[str, Any] = json.loads(line)
    stored = threading.Semaphore(1 + early)
    threading.Thread(target=_follow_the_server, args=(stored,), daemon=True).start()
    try:
        _simulate(request, say, stored)
    except Refused as refused:
        say({"refused": {"code": refused.code.value, "problem": refused.problem, "mend": refused.mend}})
    return 0


def _simulate(
    request: Mapping[str, Any], say: Callable[[Mapping[str, Any]], None], stored: threading.Semaphore
) -> None:
    spec, how = parse_spec(request["spec"]), Simulation.of(request["simulation"])
    folder, population = Path(request["folder"]), population_of(spec)
    rounds = simulate(
        spec,
        population,
        engine=how.engine,
        attack=how.wish.attack,
        attackers=how.wish.attackers,
        workers=how.wish.workers,
        folder=folder,
        start=_start(request["start"]),
        on_progress=_Progress(say),
    )
    test_examples = 0 if population.test is None else len(population.test)
    for made in rounds:
        stored.acquire()  # the round before
        RoundFiles(folder, made.round).write(made, test_examples)
        say({"round": made.round})


def _start(document: Mapping[str, Any]) -> Start:
    state = load(Path(document["state"])) if document["state"] else {}
    history = History({name: Heard(*rest) for name, *rest in document["history"]})
    return Start(document["round"], load(Path(document["weights"])), state, history)


class _Progress:
    """Says how far a round is, now and then."""

    def __init__(self, say: Callable[[Mapping[str, Any]], None]) -> None:
        self._say = say
        self._next = 0.0

    def __call__(self, trained: Trained) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_S
            self._say({"trained": {"round": trained.round, "done": trained.done, "clients": trained.clients}})


def _mouth() -> Callable[[Mapping[str, Any]], None]:
    """Says one message; whatever else writes to standard output writes to the log from now on."""
    out = os.dup(1)
    os.dup2(2, 1)

    def say(message: Mapping[str, Any]) -> None:
        line = memoryview(json.dumps(message).encode() + b"\n")
        while line:
            line = line[os.write(out, line) :]

    return say


def _first_line() -> tuple[bytes, int]:
    """What to simulate, and how many lines have come after it; not through `sys.stdin`, which reads on its own account
    and whose lock must be free when the process ends."""
    heard = b""
    while b"\n" not in heard:
        if not (said := os.read(0, 1 << 16)):
            return b"", 0
        heard += said
    line, _, rest = heard.partition(b"\n")
    return line, rest.count(b"\n")


def _follow_the_server(stored: threading.Semaphore) -> None:
    """Counts what is stored. When the server is gone, so is this process group, workers and all."""
    while said := os.read(0, 4096):
        for _ in range(said.count(b"\n")):
            stored.release()
    os.killpg(0, signal.SIGKILL)


def _be_the_first_to_go() -> None:
    """When memory runs out, a simulation is to end, and not the server or whatever else works on the machine."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    sys.exit(main())
