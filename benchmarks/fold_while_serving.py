"""How long others wait for an answer while the server folds and scores a large round.

    python -m benchmarks.fold_while_serving [--quick] [--updates 60] [--hidden 3500] [--repeats 3] [--json FILE]

A stock `potluck serve` process with a `mcmahan_2nn` of the catalogue on the digits; width 3,500 makes 50 MB of weights.
Nodes enrol, upload distinct updates and commit them as any node does; the last one closes the round, which the server
then folds, scores on the test set, hashes, stores and publishes. From that commit until the round is closed, one client
calls `get_task` over and over, and another asks for /healthz, which touches neither the database nor a thread, every
5 ms: what that takes is the lag of the event loop. Both are measured before as well, when the server is idle.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.light_node import LightNode
from benchmarks.process import Peak, cpu_seconds, memory
from benchmarks.report import Report, command, percentile
from benchmarks.serving import OPERATOR, Serving, potluck
from benchmarks.wire import Wire
from federation.weights import pack_update


def spec(updates: int, hidden: int) -> dict[str, Any]:
    """One round over so many updates, scored by the server."""
    return {
        "name": "a large round",
        "model": {"id": "mcmahan_2nn", "options": {"hidden": hidden}},
        "data": {"id": "digits", "partition": {"parts": updates, "min_examples": 1}},
        "cohort": {"size": updates, "min_nodes": updates, "quorum": updates},
        "evaluation": {"server": True, "nodes": False},
        "lease_s": 3600,
        "keep_rounds": 0,
        "rounds": 1,
    }


def update(hidden: int, number: int) -> bytes:
    """A small step, different for every node."""
    shapes = {"hidden1.weight": (hidden, 64), "hidden1.bias": (hidden,), "hidden2.weight": (hidden, hidden)}
    shapes |= {"hidden2.bias": (hidden,), "output.weight": (10, hidden), "output.bias": (10,)}
    return pack_update({name: torch.full(shape, number * 1e-6) for name, shape in shapes.items()})


async def over_and_over(ask: Callable[[], Awaitable[Any]], pause: float, over: asyncio.Event) -> list[float]:
    """Milliseconds of each answer until it is over."""
    seen = []
    while not over.is_set():
        began = time.perf_counter()
        await ask()
        seen.append((time.perf_counter() - began) * 1e3)
        if pause:
            await asyncio.sleep(pause)
    return seen


async def watched(serving: Serving, task_id: str, over: asyncio.Event) -> tuple[list[float], list[float]]:
    """What get_task and /healthz take until it is over."""
    operator, health = Wire(*serving.address, OPERATOR), Wire(*serving.address)
    return await asyncio.gather(
        over_and_over(lambda: operator.call("get_task", task_id=task_id), 0.0, over),
        over_and_over(lambda: health.get("healthz"), 0.005, over),
    )


async def deliver_all_but_one(
    serving: Serving, task_id: str, updates: int, hidden: int
) -> Callable[[], Awaitable[None]]:
    """Every node's update is accepted but for one, which is uploaded; answers how to commit that."""
    operator = Wire(*serving.address, OPERATOR)
    token = (await operator.call("issue_token", role="node", request_id="fold-serving-nodes"))["token"]
    nodes = [LightNode(Wire(*serving.address, token), f"node {number}") for number in range(updates)]
    for node in nodes:
        await node.shake_hands()
        await node.ask(task_id)
    for number, node in enumerate(nodes):
        work = await node.ask(task_id, wait_s=10)
        assert work["action"] == "train", work
        payload = update(hidden, number + 1)
        begun = await node.begin(payload)
        await node.wire.put(begun["url"], payload)
        if number + 1 < updates:
            await node.submit(payload, begun["upload_id"], num_examples=100 + number)
            node.wire.drop()
    return lambda: node.submit(payload, begun["upload_id"], num_examples=1)


async def until_closed(serving: Serving, task_id: str, over: asyncio.Event) -> float:
    """Sets `over` when round 1 is closed; the seconds until then. Asks ten times a second."""
    operator, began = Wire(*serving.address, OPERATOR), time.perf_counter()
    while True:
        task = await operator.call("get_task", task_id=task_id)
        if task["rounds"][-1]["state"] in ("closed", "void"):
            assert task["rounds"][-1]["state"] == "closed", task["rounds"]
            over.set()
            return time.perf_counter() - began
        await asyncio.sleep(0.1)


@dataclass
class Seen:
    """What was measured, of all rounds together."""

    idle: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    busy: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    anon: list[float] = field(default_factory=list)
    file: list[float] = field(default_factory=list)


async def one_round(serving: Serving, updates: int, hidden: int, number: int, idle_s: float, seen: Seen) -> int:
    """A task of one round: idle, then under way; the bytes of its model."""
    operator = Wire(*serving.address, OPERATOR)
    task = await operator.call("create_task", spec=spec(updates, hidden), request_id=f"fold-serving-{number}")
    commit = await deliver_all_but_one(serving, task["task_id"], updates, hidden)
    size = int((await operator.call("get_task", task_id=task["task_id"]))["model"]["size"])
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(idle_s, over.set)
    for kept, new in zip(seen.idle, await watched(serving, task["task_id"], over), strict=True):
        kept.extend(new)
    over, held, spent = asyncio.Event(), memory(serving.pid), cpu_seconds(serving.pid)
    with Peak(serving.pid) as peak:
        _, busy, seconds = await asyncio.gather(
            commit(), watched(serving, task["task_id"], over), until_closed(serving, task["task_id"], over)
        )
    for kept, new in zip(seen.busy, busy, strict=True):
        kept.extend(new)
    seen.seconds.append(seconds)
    seen.cpu.append(cpu_seconds(serving.pid) - spent)
    seen.anon.append((peak.anon - held.anon) / size)
    seen.file.append((peak.file - held.file) / size)
    return size


async def measure(serving: Serving, updates: int, hidden: int, repeats: int, idle_s: float) -> Report:
    """One task after the other."""
    seen = Seen()
    for number in range(repeats):
        size = await one_round(serving, updates, hidden, number, idle_s, seen)
    report = Report(f"{updates} updates of {size / 1e6:.0f} MB folded while serving")
    for when, (calls, lags) in (("idle", seen.idle), ("folding", seen.busy)):
        for what, values in (("get_task", calls), ("event loop (/healthz)", lags)):
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                report.add(f"{when}: {what}, {name} of {len(values)}", percentile(values, share), "ms")
    report.add("from the last commit to the closed round", seen.seconds, "s")
    report.add("CPU of the server in that time, answers included", seen.cpu, "CPU-s")
    report.add("anonymous memory at the peak, above before", seen.anon, "models")
    report.add("file-mapped memory at the peak, above before", seen.file, "models")
    report.judge("serving", percentile(seen.busy[0], 0.99))
    return report


def run(arguments: argparse.Namespace) -> Report:
    """Starts the server and measures."""
    torch.set_num_threads(1)
    with potluck() as serving:
        given = (arguments.updates, arguments.hidden, arguments.repeats, arguments.idle)
        return asyncio.run(measure(serving, *given))


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        updates=(60, 8, "updates in the round"),
        hidden=(3500, 1500, "width of the model's two layers"),
        repeats=(3, 1, "rounds, one after the other"),
        idle=(3.0, 3.0, "seconds of measuring while the server is idle"),
    )
