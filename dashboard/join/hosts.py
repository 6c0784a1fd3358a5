"""Configuration for the programs in which agents live. docs/hosts.md has the same snippets, and a test compares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

PLACEHOLDER = "VIEWER_TOKEN"
"""Stands in for a token that has not been made."""


@dataclass(frozen=True)
class Snippet:
    """What to paste, and where.

    Attributes:
        where: the file, or where to type it.
    """

    host: str
    where: str
    language: Literal["json", "shell"]
    code: str


def snippets(base: str, token: str = PLACEHOLDER) -> list[Snippet]:
    """Every host's, for a server at `base` and the holder of this token."""
    url, headers = f"{base}/mcp", {"Authorization": f"Bearer {token}"}
    asked = {"Authorization": "Bearer ${input:potluck-token}"}
    add = f'claude mcp add --transport http potluck {url} --header "Authorization: Bearer {token}"'
    started = {
        "command": "/path/to/potluck/.venv/bin/potluck",
        "args": ["serve", "--stdio", "--data-dir", "/path/to/potluck-data"],
    }
    token_input = {"id": "potluck-token", "type": "promptString", "description": "Potluck token", "password": True}
    return [
        Snippet(
            "Claude Desktop",
            "Settings, Developer, Edit Config, on the machine of this server; it relays to the server that runs",
            "json",
            _json({"mcpServers": {"potluck": started}}),
        ),
        Snippet("Claude Code", "a shell", "shell", add),
        Snippet(
            "Gemini CLI",
            "~/.gemini/settings.json",
            "json",
            _json({"mcpServers": {"potluck": {"httpUrl": url, "headers": headers}}}),
        ),
        Snippet(
            "Cursor",
            "~/.cursor/mcp.json, or .cursor/mcp.json in a project",
            "json",
            _json({"mcpServers": {"potluck": {"url": url, "headers": headers}}}),
        ),
        Snippet(
            "VS Code",
            ".vscode/mcp.json; it asks for the token once",
            "json",
            _json({"inputs": [token_input], "servers": {"potluck": {"type": "http", "url": url, "headers": asked}}}),
        ),
    ]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
