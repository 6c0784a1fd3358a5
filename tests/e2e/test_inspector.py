"""A client that we did not write: the MCP Inspector, over every transport, as callers of every role."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from machine import OPERATOR, Machine

from benchmarks.npm import NODE, environment
from tools.catalogue import TOOLS
from tools.context import Access

pytestmark = pytest.mark.anyio
LINES = {
    "http-2026": ("/mcp", "--transport", "http", "--protocol-era", "modern"),
    "http-2025": ("/mcp", "--transport", "http", "--protocol-era", "legacy"),
    "sse": ("/sse", "--transport", "sse"),
}


class Inspector:
    """Runs the Inspector's command line, two at a time."""

    def __init__(self, npm: Path, url: str) -> None:
        self._program = npm / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
        self._url = url

    def ask(self, line: str, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One run, over one of `LINES`."""
        path, *transport = LINES[line]
        bearer = ("--header", f"Authorization: Bearer {token}")
        return subprocess.run(
            [NODE, str(self._program), "--cli", f"{self._url}{path}", *transport, *bearer, *arguments],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=100,
            check=False,
        )

    def answers(self, questions: list[tuple[str, ...]]) -> list[dict[str, Any]]:
        """What each run printed; every one must have ended well, with nothing to find fault with."""
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda question: self.ask(*question), questions))
        for question, ran in zip(questions, runs, strict=True):
            assert (ran.returncode, ran.stderr) == (0, ""), (question[0], question[2:], ran.stdout)
        return [json.loads(ran.stdout) for ran in runs]


@pytest.mark.timeout(300)
async def test_it_finds_no_fault_with_the_tools_of_any_role_over_any_transport(shared: Machine, npm: Path) -> None:
    tokens = {role: await shared.token(role) for role in ("viewer", "node", "operator")}
    cases = [(line, role) for line in LINES for role in tokens]
    inspector = Inspector(npm, shared.url)
    lists = inspector.answers([(line, tokens[role], "--method", "tools/list", "--strict") for line, role in cases])
    for (_, role), listed in zip(cases, lists, strict=True):
        assert [tool["name"] for tool in listed["tools"]] == [
            entry.name for entry in TOOLS if Access(role) in entry.roles
        ]


@pytest.mark.timeout(300)
async def test_it_lists_what_there_is_to_read_and_calls_a_tool_over_any_transport(shared: Machine, npm: Path) -> None:
    methods = (
        ("--method", "resources/list"),
        ("--method", "resources/templates/list"),
        ("--method", "prompts/list"),
        ("--method", "tools/call", "--tool-name", "search_models"),
        ("--method", "resources/read", "--uri", "potluck://models"),
    )
    inspector = Inspector(npm, shared.url)
    for line in LINES:
        resources, templates, prompts, called, read = inspector.answers(
            [(line, OPERATOR, *method) for method in methods]
        )
        assert "potluck://tasks" in {each["uri"] for each in resources["resources"]}
        assert "potluck://tasks/{task_id}" in {each["uriTemplate"] for each in templates["resourceTemplates"]}
        assert {each["name"] for each in prompts["prompts"]} >= {"design_federation", "diagnose_training"}
        for each in [*resources["resources"], *templates["resourceTemplates"], *prompts["prompts"]]:
            assert each["description"], each
        assert called["structuredContent"]["hits"]
        assert json.loads(read["contents"][0]["text"])
