"""What 2,000 connected nodes cost while nothing happens, and how fast they hear of a new round.

    python -m benchmarks.idle_nodes [--quick] [--nodes 2000] [--window 35] [--json FILE]

A third of the nodes hold an SSE connection of the older transport, subscribed to the task; a third a listen stream of
2026-07-28 for it; a third have shaken hands, joined the task, and wait in `get_assignment` (30 s, then they ask again).
Clients are bare sockets in other processes. Each kind's memory is what the server's PSS grew by while it connected,
enrolment and database included. Then the CPU time of a quiet window; then the task is started: those who listen are
told, and those who wait are selected and get the whole assignment. The same numbers of connections to an empty
`MCPServer` of the SDK stand beside it: there, the waiting call is a tool that waits for an event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from asyncio.subprocess import PIPE, Process
from typing import Any

from benchmarks.process import KIB, cpu_seconds, memory
from benchmarks.report import NotMeasured, Report, command, percentile
from benchmarks.serving import OPERATOR, Serving, bare, potluck
from benchmarks.wire import Wire

PROCESSES = 2  # for each kind
PATIENCE_S = 120.0


class Kind:
    """The clients of one kind, in a few processes."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._orders = orders
        self._processes: list[Process] = []

    async def connect(self) -> None:
        """Starts them; returns when all wait."""
        processes = min(PROCESSES, self._orders["count"])
        each, rest = divmod(self._orders["count"], processes)
        for number in range(processes):
            command = [sys.executable, "-m", "benchmarks.idle_crowd"]
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=1 << 24)
            self._processes.append(process)
            mine = {"count": each + (number < rest), "first": number * (each + 1)}
            await self._tell(process, json.dumps(self._orders | mine))
        for process in self._processes:
            await self._line(process)

    async def forget(self) -> None:
        """What they were told until now does not count."""
        for process in self._processes:
            await self._tell(process, "forget")
            await self._line(process)

    async def reports(self) -> tuple[list[float], list[str]]:
        """When each was told (0.0: never), and what went wrong; they end."""
        told, problems = list[float](), list[str]()
        for process in self._processes:
            await self._tell(process, "report")
            answer = json.loads(await self._line(process))
            told += answer["told"]
            problems += answer["problems"]
        return told, problems

    async def end(self) -> None:
        """Whether they have ended or not."""
        for process in self._processes:
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _tell(self, process: Process, line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line.encode() + b"\n")
        await process.stdin.drain()

    async def _line(self, process: Process) -> bytes:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        if not line:
            raise NotMeasured("a process of clients ended early; its own message is above")
        return line


async def measure(
    report: Report, who: str, serving: Serving, orders: dict[str, Any], kinds: dict[str, int], news: str, window: float
) -> float:
    """Connects the kinds one after the other, waits, then sends the news; the mean memory of a node in KiB."""
    host, port = serving.address
    sender = Wire(host, port, orders["token"] and OPERATOR)
    crowds: dict[str, Kind] = {}
    first = memory(serving.pid).pss
    try:
        for kind, count in kinds.items():
            before = memory(serving.pid).pss
            crowds[kind] = Kind(orders | {"kind": kind, "count": count, "host": host, "port": port})
            await crowds[kind].connect()
            await asyncio.sleep(orders["settle_s"])
            grown = (memory(serving.pid).pss - before) / count / KIB
            report.add(f"{who}: memory of one of {count} ({kind})", grown, "KiB")
        mean = (memory(serving.pid).pss - first) / sum(kinds.values()) / KIB
        report.add(f"{who}: memory of a node, all kinds", mean, "KiB")
        spent, began = cpu_seconds(serving.pid), time.monotonic()
        await asyncio.sleep(window)
        share = (cpu_seconds(serving.pid) - spent) / (time.monotonic() - began)
        report.add(f"{who}: CPU while idle, of one core", share * 100, "%")
        for crowd in crowds.values():
            await crowd.forget()
        spent, began = cpu_seconds(serving.pid), time.monotonic()
        await send(sender, news, orders)
        await rest(serving.pid, orders["settle_s"])
        report.add(f"{who}: CPU of telling all", cpu_seconds(serving.pid) - spent, "CPU-s")
        for kind, crowd in crowds.items():
            told, problems = await crowd.reports()
            _tellings(report, f"{who}: told ({kind})", [at - began for at in told if at > began], len(told))
            for problem in problems[:3]:
                report.remark(f"{who}, {kind}: {problem} ({len(problems)} of that kind)")
    finally:
        for crowd in crowds.values():
            await crowd.end()
    return mean


async def rest(pid: int, look_s: float) -> None:
    """Returns when a process has come to rest: less than a tenth of a core for as long as one looks."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        busy = cpu_seconds(pid)
        await asyncio.sleep(look_s)
        if cpu_seconds(pid) - busy < 0.1 * look_s:
            return


async def send(sender: Wire, news: str, orders: dict[str, Any]) -> None:
    """Starts the task; or, on the bare server, calls `tell`."""
    if news == "control_task":
        await sender.call(news, task_id=orders["task_id"], action="start")
    else:
        await sender.call(news)


def _tellings(report: Report, what: str, seconds: list[float], of: int) -> None:
    if len(seconds) < of:
        report.remark(f"{what}: {of - len(seconds)} of {of} were not told in time")
    report.add(f"{what}, first", min(seconds, default=float("nan")), "s")
    report.add(f"{what}, median", percentile(seconds, 0.5), "s")
    report.add(f"{what}, last", max(seconds, default=float("nan")), "s")


async def beside(report: Report, serving: Serving, third: int, window: float, settle: float) -> None:
    """The bare SDK under the same load."""
    await Wire(*serving.address).call("noop")
    orders = {"token": None, "uri": "bare://news", "task_id": "", "settle_s": settle}
    kinds = {"sse": third, "listen": third, "wait": third}
    await measure(report, "bare SDK", serving, orders, kinds, "tell", window)


async def ours(report: Report, serving: Serving, third: int, window: float, settle: float) -> None:
    """Potluck, with a task for all who poll."""
    operator = Wire(*serving.address, OPERATOR)
    spec = {
        "name": "idle nodes",
        "model": {"id": "mlp"},
        "data": {"id": "own", "input_shape": [64], "num_classes": 10},
        "cohort": {"size": third, "min_nodes": third},
        "evaluation": {"server": False},
        "lease_s": 3600,
    }
    task = await operator.call("create_task", spec=spec, request_id="idle-nodes", start=False)
    token = (await operator.call("issue_token", role="node", request_id="idle-nodes-token"))["token"]
    task_id = task["task_id"]
    orders = {"token": token, "uri": f"potluck://tasks/{task_id}", "task_id": task_id, "settle_s": settle}
    kinds = {"sse": third, "listen": third, "poll": third}
    mean = await measure(report, "Potluck", serving, orders, kinds, "control_task", window)
    report.judge("idle", mean)


def run(arguments: argparse.Namespace) -> Report:
    """One server after the other."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    third = arguments.nodes // 3
    report = Report(f"{3 * third} idle nodes")
    if hard < 4 * third + 100:
        raise NotMeasured(f"a server of {3 * third} connections needs more open files than the {hard} allowed here")
    with potluck() as serving:
        asyncio.run(ours(report, serving, third, arguments.window, arguments.settle))
    with bare("benchmarks.bare_mcp") as serving:
        asyncio.run(beside(report, serving, third, arguments.window, arguments.settle))
    return report


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        nodes=(2000, 300, "connections"),
        window=(35.0, 5.0, "seconds of doing nothing"),
        settle=(2.0, 1.0, "seconds between connecting and looking, and of looking whether it is at rest"),
    )
