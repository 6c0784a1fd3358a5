"""What a server holds while it closes a round of adapters, and what a round sends, beside the model's own weights.

    python -m benchmarks.lora_server [--quick] [--adapters 4,16] [--repeats 3] [--json FILE]

A stock `potluck serve` process, which has the base model's folder and never loads the weights: nobody asks it to score
or to write. Nodes enrol, fetch version 0, send made-up updates of rank 8 and commit them; the last commit closes the
round by `lora_exact`. Memory is the process's resident set: when it starts, with the task, before the last commit, and
at the peak until the round is closed. Base models are in POTLUCK_MODELS; `--quick` takes the tiny Llama of the tests.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.fold_while_serving import until_closed
from benchmarks.light_node import LightNode
from benchmarks.lora_adapters import STEP
from benchmarks.lora_cells import Scale
from benchmarks.lora_home import parameters, scale_of
from benchmarks.process import Peak, cpu_seconds, memory
from benchmarks.report import Report, command
from benchmarks.serving import OPERATOR, Serving, potluck
from benchmarks.wire import Wire
from federation.weights import load_bytes, pack_update

RANK = 8


@dataclass(frozen=True)
class Closed:
    """A round that the server closed; bytes but for `cpu_s`."""

    version: int
    update: int
    with_task: int
    before: int
    peak: int
    cpu_s: float


def spec(base: str, nodes: int) -> dict[str, Any]:
    """One round of adapters, scored by nobody."""
    return {
        "name": f"{nodes} adapters",
        "model": {"id": f"hf:{base}", "lora": {"r": RANK}},
        "data": {"id": "own", "text": {}},
        "cohort": {"size": nodes, "min_nodes": nodes, "quorum": nodes},
        "aggregation": {"rule": "lora_exact"},
        "evaluation": {"server": False, "nodes": False},
        "lease_s": 3600,
        "keep_rounds": 0,
        "rounds": 1,
    }


def update(version: bytes, number: int) -> bytes:
    """A small step of every factor, another one for every node."""
    generator = torch.Generator().manual_seed(number)
    given = load_bytes(version)
    return pack_update({name: STEP * torch.randn(given[name].shape, generator=generator) for name in sorted(given)})


async def one_round(serving: Serving, base: str, count: int, name: str) -> Closed:
    """A task of one round, watched while it closes."""
    operator = Wire(*serving.address, OPERATOR)
    task = await operator.call("create_task", spec=spec(base, count), request_id=f"lora-server-{name}")
    with_task = memory(serving.pid).rss
    token = (await operator.call("issue_token", role="node", request_id="lora-server-nodes"))["token"]
    nodes = [LightNode(Wire(*serving.address, token), f"node {number}") for number in range(count)]
    for node in nodes:
        await node.shake_hands()
        await node.ask(task["task_id"], own_data=True)
    for number, node in enumerate(nodes):
        work = await node.ask(task["task_id"], own_data=True, wait_s=10)
        assert work["action"] == "train", work
        version = await node.model()
        payload = update(version, number)
        begun = await node.begin(payload)
        await node.wire.put(begun["url"], payload)
        if number + 1 < count:
            await node.submit(payload, begun["upload_id"], num_examples=100 + number)
            node.wire.drop()
    before, spent = memory(serving.pid).rss, cpu_seconds(serving.pid)
    with Peak(serving.pid) as peak:
        last = node.submit(payload, begun["upload_id"], num_examples=1)
        await asyncio.gather(last, until_closed(serving, task["task_id"], asyncio.Event()))
    cpu_s = cpu_seconds(serving.pid) - spent
    return Closed(len(version), len(payload), with_task, before, peak.rss, cpu_s)


def measure(scale: Scale, adapters: list[int], repeats: int) -> Report:
    """Every number of nodes, on fresh servers."""
    report = Report(f"a server and its rounds of adapters, {scale.base}, r = {RANK}")
    added = 0.0
    for count in adapters:
        starts, rounds = [], []
        for number in range(repeats):
            with potluck("--models", str(scale.models)) as serving:
                starts.append(memory(serving.pid).rss)
                rounds.append(asyncio.run(one_round(serving, scale.base, count, f"{count}-{number}")))
        for what, values in (
            ("started, no task yet", starts),
            ("with the task", [each.with_task for each in rounds]),
            ("before the last commit", [each.before for each in rounds]),
            ("at the peak of closing", [each.peak for each in rounds]),
        ):
            report.add(f"{count} nodes: server, {what}", [value / 1e6 for value in values], "MB")
        added = report.add(f"{count} nodes: added by closing", [(e.peak - e.before) / 1e6 for e in rounds], "MB")
        report.add(f"{count} nodes: CPU of closing, answers included", [each.cpu_s for each in rounds], "CPU-s")
    report.judge("lora_server", added)
    full = parameters(scale)
    report.add("a node's round, down", rounds[0].version / 1e6, "MB")
    report.add("a node's round, up", rounds[0].update / 1e6, "MB")
    report.add("all weights, bfloat16, one way", 2 * full / 1e6, "MB")
    report.add("all weights, float32, one way", 4 * full / 1e6, "MB")
    report.add("all weights in bfloat16 / an update", 2 * full / rounds[0].update, "ratio")
    report.remark("judged: what closing the round with the most nodes adds to the server's resident set")
    return report


def run(arguments: argparse.Namespace) -> Report:
    """Measures with the base model that is here."""
    torch.set_num_threads(1)
    scale = scale_of(arguments.quick)
    return measure(scale, [int(each) for each in arguments.adapters.split(",")], arguments.repeats)


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        adapters=("4,16", "2,4", "nodes in a round, with commas between them; the last is judged"),
        repeats=(3, 1, "servers for each"),
    )
