"""What is copied from the tab Join works where it is pasted."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import typer

from dashboard.join.address import base_of_scope, is_local
from dashboard.join.hosts import snippets
from dashboard.join.lines import SOURCE, WHENCE, install, join_line, lines
from potluck.cli import app
from tests.docs.pages import blocks, page, section

JOIN = typer.main.get_command(app).commands["join"]  # type: ignore[attr-defined]
OPTIONS = {option for parameter in JOIN.params for option in parameter.opts}


def _spec(model: str = "mlp", data: str = "digits") -> dict[str, Any]:
    return {"model": {"id": model}, "data": {"id": data}}


@pytest.mark.parametrize("token", ["pl_abc_DEF-1", "a b; rm -rf ~", "$(id)`id`'\"\\"])
def test_a_shell_reads_the_line_as_it_was_meant(token: str) -> None:
    line = join_line("https://fl.example.org/pot luck", "task-abc", token, "--data", "my data.npz")
    meant = ["potluck", "join", "https://fl.example.org/pot luck", "--task", "task-abc", "--token", token]
    assert shlex.split(line) == [*meant, "--data", "my data.npz"]


@pytest.mark.parametrize(
    ("spec", "flags"),
    [
        (_spec(), [set(), {"--data"}]),
        (_spec(data="own"), [{"--data"}]),
        (_spec("hf:acme/tiny", "shakespeare"), [set(), {"--data"}, {"--models"}]),
        (_spec("hf:acme/tiny", "own"), [{"--data"}, {"--data", "--models"}]),
    ],
)
def test_the_lines_are_those_that_fit_the_task_and_have_options_that_exist(
    spec: dict[str, Any], flags: list[set[str]]
) -> None:
    commands = [line for line in lines("http://h:1", "task-a", spec).splitlines() if line and line[0] != "#"]
    found = [{word for word in shlex.split(line) if word.startswith("--")} for line in commands]
    assert [given - {"--task", "--token"} for given in found] == flags
    assert all(given <= OPTIONS for given in found)
    assert shlex.split(install(spec))[:2] == ["pip", "install"]
    assert shlex.split(install(spec))[2].removesuffix("[llm]") == SOURCE
    assert SOURCE in WHENCE
    assert ("[llm]" in install(spec)) == spec["model"]["id"].startswith("hf:")


@pytest.mark.parametrize(
    ("scope", "base"),
    [
        ({"scheme": "http", "headers": [(b"host", b"127.0.0.1:7860")], "root_path": ""}, "http://127.0.0.1:7860"),
        ({"scheme": "https", "headers": [(b"host", b"me-potluck.hf.space")]}, "https://me-potluck.hf.space"),
        ({"scheme": "https", "headers": [(b"Host", b"a.org")], "root_path": "/potluck"}, "https://a.org/potluck"),
        ({"scheme": "http", "headers": [], "server": ("10.0.0.7", 80)}, "http://10.0.0.7:80"),
    ],
)
def test_others_are_told_the_address_that_was_dialled(scope: dict[str, Any], base: str) -> None:
    assert base_of_scope(scope) == base


def test_a_forwarded_scheme_counts_only_as_far_as_the_server_has_taken_it_over() -> None:
    headers = [(b"host", b"a.org"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"evil.example")]
    assert base_of_scope({"scheme": "http", "headers": headers}) == "http://a.org"


def test_addresses_that_lead_nowhere_else_are_known() -> None:
    assert is_local("http://127.0.0.1:7860")
    assert is_local("http://localhost/potluck")
    assert is_local("http://[::1]:80")
    assert not is_local("https://localhost.example.org")
    assert not is_local("https://fl.example.org/127.0.0.1")


def test_every_snippet_is_one_that_docs_hosts_has() -> None:
    hosts = page("docs/hosts.md")
    for snippet in snippets("http://127.0.0.1:7860", "OPERATOR_TOKEN"):
        shown = [block.code.strip() for block in blocks(section(hosts, snippet.host))]
        if snippet.language == "shell":
            assert snippet.code in shown
        else:
            assert json.loads(snippet.code) in [json.loads(code) for code in shown if code.startswith("{")]


def test_snippets_hold_the_token_that_is_given_and_none_without() -> None:
    held = {each.host for each in snippets("https://a.org", "pl_secret") if "pl_secret" in each.code}
    assert held == {"Claude Code", "Gemini CLI", "Cursor"}
    assert not any("pl_" in each.code for each in snippets("https://a.org"))
