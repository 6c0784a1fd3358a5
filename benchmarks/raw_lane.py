"""What 100 MiB cost the server, up and down the raw lane, beside a bare file server and the bare arithmetic.

    python -m benchmarks.raw_lane [--quick] [--mib 100] [--repeats 7] [--json FILE]

A stock `potluck serve` process with a task whose model has 100 MiB of weights (an `mlp` of the catalogue, on `own`
data, so that nothing need be downloaded). A node of its cohort announces updates with begin_upload and PUTs them over
loopback; the server hashes, writes, syncs and names each file before it answers 200. Then it commits the last one
(`submit_update` checks layout, values and norm). In turn with that, the same bytes go to uvicorn and Starlette alone,
which write them without hash or sync, and are hashed, written and synced by a bare loop in this process. The in-band
lane carries 10 MiB in chunks of 2.5 MiB. CPU is the server process's; extra memory is its peak above what it held
before the transfer (anonymous pages, sampled every 2 ms).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks import wide_model
from benchmarks.light_node import LightNode
from benchmarks.process import MIB, Peak, cpu_seconds, memory
from benchmarks.report import Report, command
from benchmarks.serving import OPERATOR, Serving, bare, potluck
from benchmarks.wire import Wire

INBAND_MIB = 10
MOST_UPLOADS = 8  # that a node may have open in a round


class Meter:
    """Adds up what transfers cost a server, by name."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._seen: dict[str, dict[str, list[float]]] = {}

    async def take(self, name: str, pid: int, transfer: Callable[[], Awaitable[Any]], scale: float = 1.0) -> None:
        """Measures one transfer; `scale` brings its CPU time and duration to the size that is reported."""
        held = memory(pid).anon
        with Peak(pid) as peak:
            spent, began = cpu_seconds(pid), time.perf_counter()
            await transfer()
            cpu, passed = cpu_seconds(pid) - spent, time.perf_counter() - began
        figures = {"CPU-s": cpu * scale, "s": passed * scale, "MB extra": (peak.anon - held) / 1e6}
        for unit, value in figures.items():
            self._seen.setdefault(unit, {}).setdefault(name, []).append(value)

    def keep(self, *units: str) -> dict[tuple[str, str], float]:
        """Reports what was seen, unit by unit; the medians by name and unit."""
        return {
            (name, unit): self._report.add(name, values, unit)
            for unit in units
            for name, values in self._seen[unit].items()
        }


async def working_node(serving: Serving, spec: dict[str, Any], token: str) -> LightNode:
    """A node that has been assigned round 1 of a new task."""
    operator = Wire(*serving.address, OPERATOR)
    created = await operator.call("create_task", spec=spec, request_id=f"raw-lane-{spec['data']['input_shape'][0]}")
    node = LightNode(Wire(*serving.address, token), spec["name"])
    await node.shake_hands()
    work = await node.ask(created["task_id"], own_data=True, wait_s=30)
    assert work["action"] == "train", work
    return node


def by_hand(payload: bytes, folder: Path) -> float:
    """CPU seconds that hashing, writing and syncing take without any server, in pieces as the socket gives them."""
    began = time.process_time()
    digest, view = hashlib.sha256(), memoryview(payload)
    with (folder / "floor").open("wb", buffering=0) as file:
        for start in range(0, len(view), 256 << 10):
            piece = view[start : start + (256 << 10)]
            digest.update(piece)
            file.write(piece)
        os.fsync(file.fileno())
    return time.process_time() - began


async def measure(ours: Serving, theirs: Serving, folder: Path, mib: int, repeats: int) -> Report:
    """Every way in turn, `repeats` times."""
    report = Report(f"raw lane, {mib} MiB")
    meter, floor = Meter(report), list[float]()
    operator = Wire(*ours.address, OPERATOR)
    token = (await operator.call("issue_token", role="node", request_id="raw-lane-nodes"))["token"]
    node = await working_node(ours, wide_model.spec(mib), token)
    small = await working_node(ours, wide_model.spec(INBAND_MIB), token)
    plain = Wire(*theirs.address)
    await plain.put("warm-up", bytes(MIB))
    for number in range(min(repeats, MOST_UPLOADS)):
        payload = wide_model.update(mib, value=float(number))
        begun = await node.begin(payload)
        await meter.take("up, raw lane", ours.pid, lambda: node.wire.put(begun["url"], payload))  # noqa: B023
        await meter.take("up, bare server", theirs.pid, lambda: plain.put("file", payload))  # noqa: B023
        await meter.take("down, raw lane", ours.pid, node.model)
        await meter.take("down, bare server", theirs.pid, lambda: plain.get("file"))
        floor.append(by_hand(payload, folder))
        piecemeal = wide_model.update(INBAND_MIB, value=float(number))
        upload_id = (await small.begin(piecemeal))["upload_id"]
        await meter.take(
            "up, in-band chunks, brought to that size",
            ours.pid,
            lambda: small.chunks(upload_id, piecemeal, 5 * MIB // 2),  # noqa: B023
            scale=mib / INBAND_MIB,
        )
    await meter.take("commit: layout, finite, norm", ours.pid, lambda: node.submit(payload, begun["upload_id"]))
    medians = meter.keep("CPU-s", "MB extra")
    report.add("hash, write and sync by hand", floor, "CPU-s")
    up = medians["up, raw lane", "CPU-s"]
    report.add("up: raw lane / bare server without hash", up / medians["up, bare server", "CPU-s"], "ratio")
    report.add("up: raw lane / hash, write and sync by hand", up / report.figures[-2].median, "ratio")
    meter.keep("s")
    report.judge("raw_up", up * 100 / mib)
    report.judge("raw_up_memory", medians["up, raw lane", "MB extra"])
    if mib != 100:
        report.remark(f"the judged CPU time is that of {mib} MiB, brought to 100")
    return report


def run(arguments: argparse.Namespace) -> Report:
    """Starts both servers and measures."""
    with (
        tempfile.TemporaryDirectory(prefix="potluck-bench-") as folder,
        potluck() as ours,
        bare("benchmarks.bare_files", folder) as theirs,
    ):
        return asyncio.run(measure(ours, theirs, Path(folder), arguments.mib, arguments.repeats))


if __name__ == "__main__":
    command(run, __doc__ or "", mib=(100, 20, "size of the model"), repeats=(7, 3, "transfers each way, at most 8"))
