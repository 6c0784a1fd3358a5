"""`potluck token`: what goes to scripts, and what only to people."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
import segno
from typer.testing import CliRunner

from potluck import tokens
from potluck.cli import app

URL = "https://fl.example.org/potluck"
LINK = "edge/#invite=pl_x_secret"


@pytest.fixture(autouse=True)
def _server(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: Any, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert tool == "issue_token"
        return {"token": "pl_x_secret", "link": LINK if arguments["role"] == "node" else None}

    monkeypatch.setattr(tokens, "call", answer)


def run(*arguments: str) -> tuple[str, str]:
    """What the command wrote to stdout and stderr."""
    ran = CliRunner().invoke(app, ["token", *arguments])
    assert ran.exit_code == 0, ran.output
    return ran.stdout, ran.stderr


@pytest.mark.parametrize("role", ["node", "viewer"])
def test_a_script_gets_the_bare_token_and_a_log_nothing(role: str) -> None:
    assert run(URL, "--role", role) == ("pl_x_secret\n", "")


def test_a_person_at_a_terminal_sees_the_link_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    tokens.show(tokens.Token("pl_x_secret", f"{URL}/{LINK}"), link=False, qr=False)
    assert capsys.readouterr().out == "pl_x_secret\n"
    assert terminal.getvalue() == f"invitation: {URL}/{LINK}\n"


def test_the_link_comes_in_the_tokens_place() -> None:
    assert run(f"{URL}/mcp", "--link") == (f"{URL}/{LINK}\n", "")


def test_the_code_is_drawn_above_its_link() -> None:
    expected = io.StringIO()
    segno.make_qr(f"{URL}/{LINK}", error="l").terminal(expected, compact=True)
    assert run(URL, "--qr") == (f"{expected.getvalue()}{URL}/{LINK}\n", "")
    assert "\u2580" in expected.getvalue()


@pytest.mark.parametrize("url", ["http://127.0.0.1:7860", "http://[::1]:7860", "http://localhost:7860"])
def test_a_link_that_leads_to_this_machine_alone_says_so(url: str) -> None:
    written, said = run(url, "--link")
    assert written == f"{url}/{LINK}\n"
    assert "this machine alone" in said


@pytest.mark.parametrize("arguments", [(URL, "--role", "viewer", "--qr"), ("--data-dir", "somewhere", "--link")])
def test_only_nodes_are_invited(arguments: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(app, ["token", *arguments])
    assert ran.exit_code == 2
    assert "--role node" in " ".join(ran.output.split())
