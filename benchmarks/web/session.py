"""One contender in a fresh browser: started, held against PyTorch, warmed up, measured."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import NotMeasured
from benchmarks.web.browser import browser, spent
from benchmarks.web.contenders import Contender
from benchmarks.web.workload import BATCHES, Workload

TOLERANCE = 1e-3
"""Relative: how far a loss may be from PyTorch's."""
_WARM_S = 0.5
_PATIENCE_S = 60.0
_MOST = 2000
_OPEN = "([model, backend]) => bench.open(model, backend)"
_STEPS = "([first, count]) => bench.steps(first, count)"


@dataclass(frozen=True)
class Outcome:
    """Of one browser.

    Attributes:
        cpu_ms: a steady step, user and system, of all processes of the browser.
        rate: steady steps a second, by the clock.
        start_s: from the library's start to the first step's loss: compiling and, ours, trying kernels.
        start_cpu_s: the CPU seconds of that.
        pss: bytes that the browser holds at the end.
        checked: steps whose losses were compared.
        off: the largest relative difference of a loss from PyTorch's.
        about: what the library says it runs on.
    """

    cpu_ms: float
    rate: float
    start_s: float
    start_cpu_s: float
    pss: int
    checked: int
    off: float
    about: str


async def measure(
    url: str, contender: Contender, workload: Workload, losses: Sequence[float], window_s: float
) -> Outcome:
    """Trains as many steps as `losses` has, as far as that takes no longer than ten windows, then for one window.

    Raises:
        NotMeasured: it fails, takes too long, or trains something else than PyTorch does.
    """
    async with browser(f"{url}/{contender.peer}.html", contender.flags) as tab:
        begun = tab.cpu()
        opened = await tab.call(_OPEN, _PATIENCE_S, [workload.model, contender.backend])
        step = await tab.call(_STEPS, _PATIENCE_S, [0, 1])
        start_cpu, start_s = spent(begun, tab.cpu()), opened["seconds"] + step["seconds"]
        off, done, until = _off(step["loss"], losses[0]), 1, time.monotonic() + 10 * window_s
        while done < len(losses) and time.monotonic() < until:
            step = await tab.call(_STEPS, _PATIENCE_S, [done, 1])
            off = max(off, _off(step["loss"], losses[done]))
            done += 1
        if not off <= TOLERANCE:
            raise NotMeasured(f"its losses are {off:.1e} from PyTorch's, so it does other work")
        # From here on several steps at once, as in training; the first few also tell how many fill the window.
        few = _count(_WARM_S, step["seconds"], 1)
        warm = await tab.call(_STEPS, _PATIENCE_S, [done % BATCHES, few])
        count = _count(window_s, warm["seconds"] / few, 2)
        before = tab.cpu()
        steady = await tab.call(_STEPS, _PATIENCE_S, [(done + few) % BATCHES, count])
        cpu = spent(before, tab.cpu())
        return Outcome(
            cpu_ms=cpu / count * 1000,
            rate=count / steady["seconds"],
            start_s=start_s,
            start_cpu_s=start_cpu,
            pss=tab.pss(),
            checked=done,
            off=off,
            about=opened["about"],
        )


def _off(loss: float | None, wanted: float) -> float:
    return abs(loss - wanted) / wanted if loss is not None and math.isfinite(loss) else math.inf


def _count(seconds: float, each: float, least: int) -> int:
    """Steps that fill the time."""
    return max(least, min(_MOST, round(seconds / max(each, 1e-4))))
