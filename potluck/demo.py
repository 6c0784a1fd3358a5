"""`potluck demo`: a server and its nodes as processes of this machine, seen through the eyes of an MCP client."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from edge_client.identity import write_key
from edge_client.transfer import Lanes
from federation.errors import Refused
from potluck.client import quiet
from potluck.processes import GRACE_S, Children, Died
from potluck.watch import follow

START_S = 60.0
"""Seconds that a server may take to start."""


@dataclass(frozen=True)
class Demo:
    """What is asked for; `stay`: go on serving after the last round."""

    nodes: int
    rounds: int
    seed: int
    port: int
    stay: bool
    host: str = "127.0.0.1"


def spec(demo: Demo) -> dict[str, Any]:
    """The task: handwritten digits, unevenly shared out (Dirichlet, alpha 0.5), every node in every round."""
    return {
        "name": "handwritten digits",
        "description": "A small network learns digits from shares that differ in what they show.",
        "model": {"id": "mlp"},
        "data": {"id": "digits", "partition": {"kind": "dirichlet", "alpha": 0.5, "parts": demo.nodes}},
        "training": {"epochs": 5, "batch_size": 10, "learning_rate": 0.1, "momentum": 0.9},
        "cohort": {"size": demo.nodes, "min_nodes": demo.nodes, "quorum": demo.nodes},
        "rounds": demo.rounds,
        "deadline_s": 300,
        "seed": demo.seed,
    }


def run(demo: Demo) -> int:
    """Run the demo; the exit code."""
    quiet()
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="potluck-demo-"))
    finished = False
    with Children(folder / "logs") as children:
        try:
            server = _start_server(demo, folder, children)
            asyncio.run(_federate(demo, server, folder, children))
            finished = True
            for number in range(demo.nodes):  # each scores the last model on its own examples, and leaves
                children.wait(f"node-{number}", GRACE_S)
            if demo.stay:
                print("\nServing until Ctrl-C.", flush=True)
                children.wait("server")
        except KeyboardInterrupt:
            print(f"\nstopped; its files stay in {folder}", flush=True)
            return 0 if finished else 130  # to stop a server that is done is no failure
        except (Died, Refused, ConnectionError) as error:
            print(f"the demo failed: {error}\n{children.tails()}", file=sys.stderr, flush=True)
            return 1
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _start_server(demo: Demo, folder: Path, children: Children) -> Endpoint:
    """Start a server, wait until it accepts connections, and return how its operator reaches it."""
    port = free_port(demo.host, demo.port)
    if demo.port and port != demo.port:
        print(f"port {demo.port} is taken; using {port}", flush=True)
    operator = secrets.token_urlsafe(24)
    data_dir = folder / "data"
    arguments = ["serve", "--host", demo.host, "--port", str(port), "--data-dir", str(data_dir)]
    children.start("server", arguments, {"POTLUCK_OPERATOR_TOKEN": operator})
    started = data_dir / "server.json"
    deadline = time.monotonic() + START_S
    while not started.exists():
        children.check()
        if time.monotonic() > deadline:
            raise Died(f"the server did not start within {START_S:.0f} s")
        time.sleep(0.05)
    return Endpoint(str(json.loads(started.read_text())["url"]), token=operator)


async def _federate(demo: Demo, endpoint: Endpoint, folder: Path, children: Children) -> None:
    async with Connection(endpoint, patience_s=10) as server:
        created = await server.call("create_task", {"spec": spec(demo), "request_id": "demo-task"})
        task_id = str(created["task_id"])
        enrolment = {"role": "node", "label": "demo nodes", "request_id": "demo-nodes", "max_nodes": demo.nodes}
        token = str((await server.call("issue_token", enrolment))["token"])
        for number in range(demo.nodes):
            _start_node(demo, number, endpoint.url, task_id, token, folder, children)
        http = (demo.nodes + 1) // 2
        print(f"learning to read digits: {http} nodes over Streamable HTTP, {demo.nodes - http} over SSE", flush=True)
        task = await follow(server, task_id, children.check)
        print(f"final accuracy {_final_accuracy(task):.3f}", flush=True)
        model = await _export(server, endpoint, task_id, folder)
    _say_where(demo, endpoint, folder, model)


def free_port(host: str, wanted: int) -> int:
    """`wanted` if nobody listens there, else a port that the system finds free."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Died(f"no port is free on {host}")


def _start_node(demo: Demo, number: int, url: str, task_id: str, token: str, folder: Path, children: Children) -> None:
    """Start node `number`: an even one over Streamable HTTP, an odd one over SSE; its key follows from the seed."""
    key_file = folder / "keys" / f"node-{number}.pem"
    seed = hashlib.sha256(f"potluck-demo/{demo.seed}/{number}".encode()).digest()
    write_key(key_file, Ed25519PrivateKey.from_private_bytes(seed))
    options = {
        "--task": task_id,
        "--index": str(number),
        "--transport": ("http", "sse")[number % 2],
        "--key": str(key_file),
        "--name": f"node-{number}",
    }
    arguments = ["join", url, *(word for option in options.items() for word in option)]
    children.start(f"node-{number}", arguments, {"POTLUCK_TOKEN": token, "OMP_NUM_THREADS": "1"})


def _final_accuracy(task: dict[str, Any]) -> float:
    scores = [each["accuracy"] for each in task["rounds"] if each.get("accuracy") is not None]
    if task["state"] != "finished" or not scores:
        raise Died(f"the task is {task['state']}; {task['reason'] or 'its model has no accuracy'}")
    return float(scores[-1])


async def _export(server: Connection, endpoint: Endpoint, task_id: str, folder: Path) -> Path:
    exported = await server.call("export_model", {"task_id": task_id})
    path = folder / "model.safetensors"
    (folder / "model.md").write_text(exported["model_card"], encoding="utf-8")
    async with endpoint.http() as http:
        fetched = folder / "fetched"
        fetched.mkdir()
        lanes = Lanes(server, server.call, http, endpoint.url, chunk_max_bytes=0)
        (await lanes.download(exported, fetched)).rename(path)
        fetched.rmdir()
    return path


def _say_where(demo: Demo, endpoint: Endpoint, folder: Path, model: Path) -> None:
    url, data_dir, bearer = endpoint.url, folder / "data", f"Authorization: Bearer {endpoint.token}"
    client = {"url": f"{url}/mcp", "headers": {"Authorization": f"Bearer {endpoint.token}"}}
    lines = [
        "",
        f"model        {model}",
        f"database     {data_dir / 'potluck.db'}",
        f"logs         {folder / 'logs'}",
        f"MCP          {url}/mcp (Streamable HTTP), {url}/sse (SSE)",
    ]
    if find_spec("gradio"):
        lines.insert(1, f"in a browser {url}/")
    if not demo.stay:
        print("\n".join([*lines, "", "The server ends here; without --exit it goes on serving."]), flush=True)
        return
    lines += [
        "",
        "To talk to this federation from Claude, Cursor or another MCP client, paste:",
        json.dumps({"mcpServers": {"potluck": client}}, indent=2),
        "or, for Claude Code:",
        f"claude mcp add --transport http potluck {url}/mcp \\",
        f'  --header "{bearer}"',
        "or look around from the shell:",
        f"potluck call {url} list_tasks",
    ]
    print("\n".join(lines), flush=True)
