"""Both TypeScript SDKs, as plain scripts on Node.js: over HTTP, SSE and stdio, in both eras."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from machine import OPERATOR, Machine, spec

from benchmarks.npm import FOLDER, NODE, environment
from federation.identity import b64url
from tools.catalogue import TOOLS
from tools.context import Access

pytestmark = pytest.mark.anyio
MODERN, OLDER = "modern_sdk.mjs", "older_sdk.mjs"
HTTP_AND_SSE = [
    (script, transport, mode)
    for script, modes in ((MODERN, ("auto", "legacy")), (OLDER, ("legacy",)))
    for transport in ("http", "sse")
    for mode in modes
]


@pytest.fixture(scope="module")
def scripts(npm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts beside the packages that they import."""
    folder = tmp_path_factory.mktemp("scripts")
    for script in FOLDER.glob("*.mjs"):
        shutil.copy(script, folder)
    (folder / "node_modules").symlink_to(npm)
    return folder


@contextmanager
def _running(script: Path, asked: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    command = [NODE, str(script), json.dumps(asked)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _steps(process: subprocess.Popen[str], until: str = "done") -> dict[str, dict[str, Any]]:
    """What the script tells, up to this step."""
    steps: dict[str, dict[str, Any]] = {}
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        steps[told.pop("step")] = told
        if until in steps:
            return steps
    raise AssertionError(f"the script ended after {steps}")


def _check(steps: dict[str, dict[str, Any]], name: str) -> None:
    assert "error" not in steps
    assert "control_task" in steps["tools"]["names"]
    assert steps["tools"]["names"] == [each.name for each in TOOLS if each.allows(Access.OPERATOR)]
    assert steps["task"] == {"id": steps["read"]["id"], "same": True, "name": name}
    assert steps["refused"] == {"isError": True, "code": "not_found"}
    assert steps["updated"] == {"uri": f"potluck://tasks/{steps['task']['id']}"}


@pytest.mark.parametrize(("script", "transport", "mode"), HTTP_AND_SSE)
def test_an_agent_plans_reads_and_hears_of_changes(
    shared: Machine, scripts: Path, script: str, transport: str, mode: str
) -> None:
    asked = {"transport": transport, "mode": mode, "url": shared.url, "token": OPERATOR}
    name = f"{script} {transport} {mode}"
    asked |= {"spec": spec(name=name), "request": name.replace(" ", "-")}
    with _running(scripts / script, asked) as process:
        steps = _steps(process)
        assert process.wait(30) == 0
    _check(steps, name)
    if script == MODERN:
        assert steps["connected"]["version"] == ("2026-07-28" if mode == "auto" else "2025-11-25")


@pytest.mark.parametrize(("script", "mode"), [(MODERN, "auto"), (OLDER, "legacy")])
def test_a_desktop_host_starts_the_server_itself(tmp_path: Path, scripts: Path, script: str, mode: str) -> None:
    """In `auto`, this SDK first starts a server only to ask which eras it speaks, and ends it again."""
    arguments = ["-m", "potluck.cli", "serve", "--stdio", "--port", "0", "--data-dir", str(tmp_path / "data")]
    command = {"command": sys.executable, "args": arguments, "env": environment()}
    asked = {"transport": "stdio", "mode": mode, "command": command, "spec": spec(), "request": "a-desktop-host"}
    with _running(scripts / script, asked) as process:
        steps = _steps(process)
        assert process.wait(30) == 0
    _check(steps, "digits")
    assert not (tmp_path / "data" / "server.json").exists(), "it ended with its host"


@pytest.mark.parametrize(("script", "transport", "mode"), HTTP_AND_SSE)
async def test_a_long_poll_can_be_left(shared: Machine, scripts: Path, script: str, transport: str, mode: str) -> None:
    token = await shared.node_token()
    request = f"poll-{script}-{transport}-{mode}"
    task = await shared.call("create_task", spec=spec(), request_id=request)
    credentials = await _enrol(shared, token) | {"task_id": task["task_id"]}
    asked = {"transport": transport, "mode": mode, "url": shared.url, "token": token, "credentials": credentials}
    with _running(scripts / script, asked) as process:
        _steps(process, "polling")
        await shared.wait_for(task["task_id"], lambda task: bool(task["nodes"]))
        assert process.stdin is not None
        process.stdin.write("leave\n")
        process.stdin.flush()
        steps = _steps(process)
        assert process.wait(30) == 0
    assert steps["cancelled"]["outcome"] != "answered"
    assert "abort" in steps["cancelled"]["outcome"].lower()
    assert "get_assignment" in steps["tools"]["names"], "the connection goes on"


async def _enrol(machine: Machine, token: str) -> dict[str, Any]:
    """A node's id and token, from the two calls of a handshake."""
    key = Ed25519PrivateKey.generate()
    hello = {
        "public_key": {
            "alg": "ed25519",
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64url(key.public_key().public_bytes_raw())},
        },
        "capabilities": {"runtime": "test", "device": "cpu", "codecs": ["none"], "methods": ["fedavg"]},
        "audience": machine.url.partition("://")[2],
    }
    node = machine.as_caller(token)
    challenge = await node.call("handshake", **hello)
    proof = {"challenge": challenge["challenge"], "signature": b64url(key.sign(challenge["sign"].encode()))}
    welcome = await node.call("handshake", **hello, **proof)
    return {name: welcome[name] for name in ("node_id", "node_token")}
