"""Snippets that people paste are valid and name what exists; files that the pages show are the files."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from potluck.cli import app
from tests.docs.pages import ROOT, Block, blocks, headings, page, section

HOSTS = page("docs/hosts.md")
SERVE = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
FLAGS = {option for parameter in SERVE.params for option in parameter.opts}


def _entries(text: str) -> Iterator[dict[str, Any]]:
    """What hosts are told about a server, from every JSON snippet."""
    for block in blocks(text):
        if block.language == "json":
            told = json.loads(block.code)
            yield from (told.get("mcpServers") or told["servers"]).values()


def test_every_host_has_a_snippet_to_start_the_server_itself() -> None:
    for host in ("Claude Desktop", "Claude Code", "Gemini CLI", "Cursor", "VS Code"):
        assert host in headings(HOSTS, 2)
        assert "--stdio" in section(HOSTS, host)


@pytest.mark.parametrize("path", ["docs/hosts.md", "README.md"])
def test_json_snippets_start_our_command_or_name_our_endpoint(path: str) -> None:
    entries = list(_entries(page(path)))
    assert entries
    for entry in entries:
        if "command" in entry:
            assert entry["command"].endswith("/.venv/bin/potluck")
            assert entry["args"][:2] == ["serve", "--stdio"]
            assert {word for word in entry["args"] if word.startswith("--")} <= FLAGS
        else:
            url = entry.get("url") or entry["httpUrl"]
            assert url.endswith("/mcp")
            assert entry["headers"]["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize("path", ["docs/hosts.md", "README.md", "docs/deployment.md", "deploy/potluck.service"])
def test_commands_that_are_shown_have_only_options_that_exist(path: str) -> None:
    text = page(path).replace("\\\n", " ")
    shown = re.findall(r"potluck serve (--[^`\n]*)", text)
    assert shown or path == "README.md"
    for command in shown:
        assert {word for word in shlex.split(command) if word.startswith("--")} <= FLAGS, command


def test_the_command_that_hosts_start_knows_what_it_is_given() -> None:
    ran = CliRunner().invoke(app, ["serve", "--help"])
    assert "--stdio" in ran.output
    assert "--data-dir" in ran.output


@pytest.mark.parametrize(("language", "file"), [("nginx", "deploy/nginx.conf"), ("ini", "deploy/potluck.service")])
def test_the_page_on_deployment_shows_the_files_themselves(language: str, file: str) -> None:
    shown = [block for block in blocks(page("docs/deployment.md")) if block.language == language]
    assert shown == [Block(language, (ROOT / file).read_text(encoding="utf-8"))]


def test_the_page_on_conformance_gives_the_reason_for_every_expected_failure() -> None:
    baseline = (ROOT / "tests/e2e/npm/expected-failures.yaml").read_text(encoding="utf-8")
    reasons = section(page("docs/conformance.md"), "What fails, and why")
    for scenario in re.findall(r"^  - (\S+)", baseline, re.MULTILINE):
        assert f"`{scenario.partition('-')[0]}-…`" in reasons, scenario


def test_versions_that_pages_name_are_those_that_tests_install() -> None:
    wanted = json.loads((ROOT / "tests/e2e/npm/package.json").read_text(encoding="utf-8"))["dependencies"]
    for name in ("conformance-2025", "conformance-2026"):
        assert wanted[name].rpartition("@")[2] in page("docs/conformance.md")
    lock = (ROOT / "tests/e2e/npm/package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock, "packages come from whatever registry npm is set to"
    assert lock.count('"integrity"') > 100
