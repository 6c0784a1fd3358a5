"""Clients spread over processes, each with a model of its own: for models whose steps are worth a core.

Workers read the pool from files that they map, so it is in memory once, and bring back updates as files: nothing of
size goes through a pipe. Who trains whom does not matter to the bits.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.simulation.clients import LocalUpdates, Work
from federation.simulation.engine import ModelFactory, check_float32
from federation.simulation.loop import LoopEngine
from federation.spec import TrainingSpec
from federation.threads import use_threads
from federation.weights import Tensors, load, to_bytes

_engine: LoopEngine | None = None


class ProcessesEngine:
    """Use it in a `with` statement: the workers stay for all rounds and end with it.

    Args:
        factory: has to be picklable, `functools.partial` of a module's function, say.
        proximal: μ of FedProx.
        workers: processes, each with one thread; default: the cores that this process may use.
        folder: where a folder for files is made; default: the system's.

    Bits are those of the loop in a process with one thread.
    """

    def __init__(
        self,
        factory: ModelFactory,
        pool: Examples,
        spec: TrainingSpec,
        *,
        proximal: float = 0.0,
        workers: int | None = None,
        folder: Path | None = None,
    ) -> None:
        check_float32(factory())
        self._folder = tempfile.TemporaryDirectory(prefix="potluck-simulation-", dir=folder)
        folder = Path(self._folder.name)
        np.save(folder / "x.npy", pool.x.numpy())
        np.save(folder / "y.npy", pool.y.numpy())
        count = workers or len(os.sched_getaffinity(0))
        self._ahead = 4 * count
        self._workers = ProcessPoolExecutor(
            max_workers=count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(folder, factory, spec, proximal),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def train(self, weights: Tensors, work: Sequence[Work]) -> Iterator[LocalUpdates]:
        """See `Engine`."""
        folder = Path(self._folder.name)
        base = folder / "base.safetensors"
        base.write_bytes(to_bytes(weights))
        jobs: dict[int, Future[LocalUpdates]] = {}

        def submit(place: int) -> None:
            if place < len(work):
                file, each, correction = folder / f"update-{place}.npy", work[place], None
                if each.correction is not None:
                    correction = folder / f"correction-{place}.npy"
                    np.save(correction, each.correction().numpy())
                bare = replace(each, correction=None)
                jobs[place] = self._workers.submit(_train, base, bare, file, correction)

        for place in range(self._ahead):
            submit(place)
        try:
            for place in range(len(work)):
                update = jobs.pop(place).result()
                submit(place + self._ahead)  # results wait as files, so not all of a round's at once
                file = folder / f"update-{place}.npy"
                yield replace(update, deltas=torch.from_numpy(np.load(file)))
                file.unlink()
                (folder / f"correction-{place}.npy").unlink(missing_ok=True)
        except BrokenProcessPool:
            problem = "a process of the simulation ended before its client had trained."
            mend = "it may have run out of memory: use fewer workers, or the engine loop"
            raise Refused(ErrorCode.INTERNAL, problem, mend) from None
        finally:
            for job in jobs.values():
                job.cancel()


def _start(folder: Path, factory: ModelFactory, spec: TrainingSpec, proximal: float) -> None:
    global _engine  # noqa: PLW0603 - the worker's own
    use_threads(1)
    x, y = np.load(folder / "x.npy", mmap_mode="c"), np.load(folder / "y.npy", mmap_mode="c")
    _engine = LoopEngine(factory, Examples(torch.from_numpy(x), torch.from_numpy(y)), spec, proximal=proximal)


def _train(base: Path, work: Work, file: Path, correction: Path | None) -> LocalUpdates:
    assert _engine is not None  # noqa: S101 - the initialiser has run
    if correction is not None:
        work = replace(work, correction=lambda: torch.from_numpy(np.load(correction)))
    (update,) = _engine.train(load(base), [work])
    np.save(file, update.deltas.numpy())
    return replace(update, deltas=torch.empty(0))
