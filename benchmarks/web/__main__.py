"""How fast a tab trains: our engine beside jax-js and TensorFlow.js, in headless Chromium on this machine's adapter.

    python -m benchmarks.web [--quick] [--peers jax,tfjs] [--repeats 3] [--window 2] [--minutes 8.5] [--json FILE]

Two models of the catalogue, batches of 32, plain SGD: an MLP 784-128-10 and `mnist_cnn`. Every library starts from
PyTorch's first weights and takes the same batches of the same pictures: digits of scikit-learn's, enlarged to 28 x 28.
Its first losses must be PyTorch's to 1e-3, or it is not measured. Peers have their batches on the device before they
start; ours, as in a tab, gathers a batch from the examples at each step. Each measurement is a fresh browser's.

What counts is CPU time a step, user and system, of all processes of the browser: an adapter made of software computes
there, and on shared cores clocks tell little. Starting, compiling and warming up are apart. Pages are not isolated, so
no library has threads: they would shorten seconds, not CPU time. On a machine with a GPU, compare the clock instead.

Peers are installed once into ~/.cache/potluck-bench/web. One that cannot be installed, or fails, is named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bars import BARS
from benchmarks.report import NotMeasured, Report, command, number, spread
from benchmarks.web.browser import PROGRAM
from benchmarks.web.bundle import WEB, bundle, served
from benchmarks.web.contenders import CONTENDERS, OURS, RATIOS, Contender
from benchmarks.web.session import Outcome, measure
from benchmarks.web.workload import WORKLOADS, Workload, losses, pictures, write

HEAD = ("contender", "CPU-ms a step", "CPU ×", "steps/s", "to the first loss, s", "memory, MB", "off PyTorch")
_SIZES = WEB.parent / "mcp_server" / "static" / "edge" / "sizes.json"
_OVERHEAD_S, _SLOW_S = 6.0, 20.0
"""A browser's start, a library's, and the losses compared; and what TensorFlow.js takes longer for convolutions."""
Seen = dict[tuple[Workload, Contender], list[Outcome]]


def run(arguments: argparse.Namespace) -> Report:
    """Every contender on every workload, in turn."""
    if PROGRAM is None:
        raise NotMeasured("there is no Chromium: install Debian's package chromium")
    report = Report("training in a browser")
    with tempfile.TemporaryDirectory(prefix="potluck-web-") as name:
        folder = Path(name)
        chosen = _bundled(folder, arguments, report)
        pairs = [(each, contender) for each in WORKLOADS for contender in chosen if each.model in contender.models]
        slow = sum(each.model == "mnist_cnn" and contender.peer == "tfjs" for each, contender in pairs)
        each_turn = len(pairs) * (_OVERHEAD_S + arguments.window) + slow * _SLOW_S
        minutes = min(arguments.minutes, each_turn * arguments.repeats / 60)
        print(
            f"about {minutes:.1f} minutes; no browser starts after {arguments.minutes:g}", file=sys.stderr, flush=True
        )
        wanted = {}
        for each in WORKLOADS:
            write(folder, each)
            wanted[each] = list(losses(each, arguments.steps))
        with served(folder) as url:
            seen = asyncio.run(_measure(url, pairs, wanted, arguments, report))
    _tell(report, seen)
    _weigh(report)
    blank = float((pictures()[0] == 0).float().mean())
    report.remark(f"Pictures: scikit-learn's digits, 28 x 28, {blank:.0%} of the values zero (MNIST: 81 %).")
    return report


def _bundled(folder: Path, arguments: argparse.Namespace, report: Report) -> list[Contender]:
    """Those whose page could be made; of the others the report says why not."""
    found: list[Contender] = []
    asked = ["potluck", *(each for each in arguments.peers.split(",") if each != "none")]
    for peer in dict.fromkeys(each.peer for each in CONTENDERS):
        if peer not in asked:
            report.remark(f"{peer} was left out, as asked")
            continue
        try:
            bundle(peer, folder)
        except NotMeasured as problem:
            if peer == "potluck":
                raise
            report.remark(f"not measured: {problem}")
            continue
        found += [each for each in CONTENDERS if each.peer == peer]
    return found


async def _measure(
    url: str,
    pairs: Sequence[tuple[Workload, Contender]],
    wanted: dict[Workload, list[float]],
    arguments: argparse.Namespace,
    report: Report,
) -> Seen:
    seen: Seen = {}
    failed: set[tuple[Workload, Contender]] = set()
    end = time.monotonic() + arguments.minutes * 60
    for turn in range(arguments.repeats):
        for pair in pairs:
            workload, contender = pair
            what = f"{workload.name}, {contender.name}"
            if pair in failed:
                continue
            if time.monotonic() > end:
                report.remark(f"{what}: {len(seen.get(pair, []))} of {arguments.repeats} times, as the time was over")
                continue
            try:
                # Losses are compared in full once; then two tell that nothing has changed.
                outcome = await measure(
                    url, contender, workload, wanted[workload][: None if turn == 0 else 2], arguments.window
                )
            except NotMeasured as problem:  # it is not asked again
                failed.add(pair)
                report.remark(f"{what} was not measured: {problem}")
                continue
            seen.setdefault(pair, []).append(outcome)
            print(f"{what}: {number(outcome.cpu_ms)} CPU-ms a step", file=sys.stderr, flush=True)
    if not any(contender.title == OURS for _, contender in seen):
        raise NotMeasured("; ".join(report.remarks))
    return seen


def _tell(report: Report, seen: Seen) -> None:
    cost = {(workload.model, each.peer, each.backend): _median(runs) for (workload, each), runs in seen.items()}
    rows = []
    for (workload, contender), runs in seen.items():
        name = f"{workload.name}, {contender.name}"
        cpu = report.add(f"{name}: a step", [each.cpu_ms for each in runs], "CPU-ms")
        rate = report.add(f"{name}: rate", [each.rate for each in runs], "steps/s")
        start = report.add(f"{name}: to the first loss", [each.start_s for each in runs], "s")
        report.add(f"{name}: to the first loss, CPU", [each.start_cpu_s for each in runs], "CPU-s")
        memory = report.add(f"{name}: memory of the browser", [each.pss / 1e6 for each in runs], "MB")
        off = report.add(f"{name}: largest difference from PyTorch's losses", max(each.off for each in runs), "ratio")
        mine = cost.get((workload.model, "potluck", "webgpu" if contender.backend.startswith("webg") else "cpu"))
        ratio = cpu / mine if mine else float("nan")
        steps = max(each.checked for each in runs)
        values = [each.cpu_ms for each in runs]
        rows.append(
            [name, spread(values), number(ratio), number(rate), number(start), number(memory), f"{off:.0e}, {steps}"]
        )
    report.compare(HEAD, rows)
    report.remark(
        "CPU ×: of our WebGPU for webgpu and webgl, of our CPU engine for the others. Off PyTorch: the largest"
    )
    report.remark("relative difference of a loss, and over how many of the first steps.")
    for bar, model, ours, (peer, backend) in RATIOS:
        if (model, "potluck", ours) in cost and (model, peer, backend) in cost:
            report.judge(bar, cost[model, peer, backend] / cost[model, "potluck", ours])
    adapters = {each.about for (_, contender), runs in seen.items() if contender.title == OURS for each in runs[:1]}
    report.remark("Ours says it runs on: " + "; ".join(sorted(adapters)))


def _weigh(report: Report) -> None:
    """What the page weighs, where it has been built."""
    if not _SIZES.is_file():
        report.remark("The page was not weighed: it is not built here (`make web`).")
        return
    files = [file for file in json.loads(_SIZES.read_text()) if "webgpu" in file["tabs"]]
    ours = [file for file in files if "webgpu" in file["first"] and (file["owner"], file["kind"]) == ("own", "code")]
    for bar, counted in (("web_own", ours), ("web_page", files)):
        report.judge(bar, report.add(BARS[bar].what, sum(file["gzip"] for file in counted) / 1024, "KB"))


def _median(runs: Sequence[Outcome]) -> float:
    return statistics.median(each.cpu_ms for each in runs)


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        peers=("jax,tfjs", "jax,tfjs", "libraries to measure beside, or none"),
        steps=(20, 3, "steps whose losses are held against PyTorch's"),
        repeats=(3, 1, "browsers for each contender and workload"),
        window=(2.0, 0.5, "seconds that are measured in each"),
        minutes=(8.5, 1.1, "after which no browser is started"),
    )
