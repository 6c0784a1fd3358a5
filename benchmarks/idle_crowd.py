"""Many clients that wait, in one process: `python -m benchmarks.idle_crowd`, told what to do by a line of JSON.

The line: `{kind, count, first, host, port, token, uri, task_id}`. `kind` is `sse` (a session of the older transport,
subscribed to `uri`), `listen` (a stream of 2026-07-28 for `uri`), `poll` (a node of `task_id` that waits for work) or
`wait` (a call of the bare server's tool). Prints `ready` once all are connected; at the next line it prints when each
was last told something (JSON, seconds of the system's monotonic clock), and ends.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.light_node import LightNode
from benchmarks.wire import Failed, SseWire, Wire

AT_ONCE = 32
POLL_S = 30


class Crowd:
    """The clients of one process. `told[n]` is when client n heard last; 0.0: never."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._orders = orders
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self.all_waiting = asyncio.Event()
        self.told = [0.0] * int(orders["count"])
        self.problems: list[str] = []

    async def one(self, number: int) -> None:
        """A client's life: connect, then wait."""
        try:
            match self._orders["kind"]:
                case "sse":
                    await self._sse(number)
                case "listen":
                    await self._listen(number)
                case "poll":
                    await self._poll(number)
                case "wait":
                    await self._wait(number)
        except (Failed, OSError, asyncio.IncompleteReadError) as error:
            self.problems.append(f"client {number}: {error!r}")
            self._is_waiting()

    def _wire(self) -> Wire:
        return Wire(self._orders["host"], self._orders["port"], self._orders["token"])

    def _is_waiting(self) -> None:
        self._waiting += 1
        if self._waiting == len(self.told):
            self.all_waiting.set()

    async def _sse(self, number: int) -> None:
        client = SseWire(self._orders["host"], self._orders["port"], self._orders["token"])
        async with self._gate:
            await client.connect([self._orders["uri"]])
        self._is_waiting()
        await self._hear(number, client.notifications())

    async def _listen(self, number: int) -> None:
        async with self._gate:
            stream = self._wire().listen([self._orders["uri"]])
            await anext(stream)  # the acknowledgement
        self._is_waiting()
        await self._hear(number, stream)

    async def _hear(self, number: int, messages: AsyncIterator[dict[str, Any]]) -> None:
        async for message in messages:
            if message.get("method") == "notifications/resources/updated" and not self.told[number]:
                self.told[number] = time.monotonic()

    async def _poll(self, number: int) -> None:
        node = LightNode(self._wire(), f"idle {self._orders['first'] + number}")
        async with self._gate:
            await node.shake_hands()
            await node.ask(self._orders["task_id"], own_data=True)
        self._is_waiting()
        while (await node.ask(self._orders["task_id"], own_data=True, wait_s=POLL_S))["action"] == "wait":
            pass
        self.told[number] = time.monotonic()

    async def _wait(self, number: int) -> None:
        wire = self._wire()
        async with self._gate:
            await wire.call("noop")
        self._is_waiting()
        await wire.call("wait")
        self.told[number] = time.monotonic()


async def main() -> None:
    """Obeys."""
    crowd = Crowd(json.loads(sys.stdin.readline()))
    tasks = [asyncio.create_task(crowd.one(number)) for number in range(len(crowd.told))]
    await crowd.all_waiting.wait()
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline) == "forget\n":
        crowd.told[:] = [0.0] * len(crowd.told)
        print("forgotten", flush=True)
    print(json.dumps({"told": crowd.told, "problems": crowd.problems}), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(main())
