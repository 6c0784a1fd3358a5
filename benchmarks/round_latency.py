"""How long a round takes when nobody trains: 4 node processes, a 1 MB model, SQLite synced to disk.

    python -m benchmarks.round_latency [--quick] [--rounds 50] [--nodes 4]

Each node asks for work, fetches the model, and sends a zero update back. A round counts from one round's end to the
next one's. Prints the median, the spread, and the server's CPU time a round (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from potluck.processes import Children

OPERATOR = "operator-token-of-the-benchmark"
HIDDEN = 3500  # 64·h + h + 10·h + 10 values of 4 bytes: 1.05 MB


def task(nodes: int, rounds: int) -> dict[str, Any]:
    """A task that is all protocol: no evaluation, no training."""
    return {
        "name": "round latency",
        "model": {"id": "mlp", "options": {"hidden": HIDDEN}},
        "data": {"id": "digits", "partition": {"parts": nodes}},
        "cohort": {"size": nodes, "min_nodes": nodes, "quorum": nodes},
        "evaluation": {"server": False, "nodes": False},
        "rounds": rounds,
        "keep_rounds": 0,
    }


async def measure(url: str, nodes: int, rounds: int, pid: int) -> dict[str, float]:
    """Seconds between the ends of consecutive rounds, in the middle and at the edges."""
    async with Connection(Endpoint(url, token=OPERATOR)) as server:
        created = await server.call("create_task", {"spec": task(nodes, rounds), "request_id": "round-latency"})
        task_id = created["task_id"]
        issued = await server.call("issue_token", {"role": "node", "request_id": "round-latency-nodes"})
        command = [sys.executable, "-m", "benchmarks.idle_node", url, task_id, issued["token"]]
        processes = [await asyncio.to_thread(subprocess.Popen, command) for _ in range(nodes)]
        try:
            before = _cpu_seconds(pid)
            for process in processes:
                await asyncio.to_thread(process.wait, 600)
            spent = _cpu_seconds(pid) - before
        finally:
            for process in processes:
                process.kill()
        view = await server.call("get_task", {"task_id": task_id})
    assert all(each["state"] == "closed" for each in view["rounds"]), view["rounds"]
    collecting = [each["seconds"] for each in view["rounds"][1:]]
    ends = await _ends(url, task_id)
    gaps = [later - earlier for earlier, later in pairwise(ends)]
    return {
        "rounds": rounds,
        "median_s": statistics.median(gaps),
        "p90_s": statistics.quantiles(gaps, n=10)[-1],
        "collecting_to_closed_median_s": statistics.median(collecting),
        "server_cpu_s_per_round": spent / rounds,
    }


async def _ends(url: str, task_id: str) -> list[float]:
    async with Connection(Endpoint(url, token=OPERATOR)) as server:
        view = await server.call("get_task", {"task_id": task_id})
        ends = []
        for each in view["rounds"]:
            document = json.loads(await server.read(f"potluck://tasks/{task_id}/model/{each['version']}"))
            ends.append(float(document["created_at"]))
        return ends


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="10 rounds")
    arguments = parser.parse_args()
    rounds = 10 if arguments.quick else arguments.rounds
    with tempfile.TemporaryDirectory(prefix="potluck-bench-") as folder, Children(Path(folder) / "logs") as children:
        data_dir = Path(folder) / "data"
        flags = ["serve", "--port", "0", "--data-dir", str(data_dir), "--log-level", "WARNING"]
        children.start("server", flags, {"POTLUCK_OPERATOR_TOKEN": OPERATOR})
        deadline = time.monotonic() + 60
        while not (data_dir / "server.json").exists():
            children.check()
            if time.monotonic() > deadline:
                raise SystemExit("the server did not start")
            time.sleep(0.05)
        url = json.loads((data_dir / "server.json").read_text())["url"]
        result = asyncio.run(measure(url, arguments.nodes, rounds, children.pid("server")))
    for name, value in result.items():
        print(f"{name:<32} {value:.4g}")


if __name__ == "__main__":
    main()
