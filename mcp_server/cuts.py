"""Cuts of training sets, kept for a while: every node of a task asks for its own share of the same one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

from federation.errors import ErrorCode, Refused
from federation.partition import Indices
from federation.spec import TaskSpec
from resources.workload import Workload

MOST_PLACES = 100_000
"""In one answer: about 700 kB of JSON, as SDK clients take no event beyond 1 MiB. No catalogued set has so many."""


class Cuts:
    """The `size` cuts used last. Each is computed once, in a thread; whoever hangs up does not stop it for others."""

    def __init__(self, workload: Workload, size: int = 4) -> None:
        self._workload = workload
        self._size = size
        self._held: OrderedDict[Hashable, asyncio.Task[list[Indices]]] = OrderedDict()

    async def share(self, spec: TaskSpec, index: int) -> Indices:
        """The places of share `index` in the training set, sorted.

        Raises:
            Refused: INVALID_ARGUMENT for `own` data or an index beyond the last share; TOO_LARGE for more places than
                an answer holds; DATA_UNAVAILABLE when the labels are neither here nor to be fetched.
        """
        parts = spec.data.partition.parts
        if spec.data.id != "own" and index >= parts:
            problem = f"partition {index} is outside 0..{parts - 1}."
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "read the partition_index that get_assignment gave you")
        share = (await asyncio.shield(self._cut(spec)))[index]
        if len(share) > MOST_PLACES:
            problem = f"partition {index} holds {len(share)} examples, more than the {MOST_PLACES} of one answer."
            raise Refused(ErrorCode.TOO_LARGE, problem, f"cut the data into more than {parts} parts, or join own_data")
        return share

    def _cut(self, spec: TaskSpec) -> asyncio.Task[list[Indices]]:
        key = (spec.data, spec.partition_seed)
        if key not in self._held:
            self._held[key] = asyncio.create_task(asyncio.to_thread(self._workload.cut, spec))
            self._held[key].add_done_callback(lambda task: self._forget_if_failed(key, task))
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]

    def _forget_if_failed(self, key: Hashable, task: asyncio.Task[list[Indices]]) -> None:
        if (task.cancelled() or task.exception() is not None) and self._held.get(key) is task:
            del self._held[key]
