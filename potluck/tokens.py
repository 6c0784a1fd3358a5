"""`potluck token`: enrolment from the shell."""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_client.endpoint import Endpoint
from federation.errors import ErrorCode, Refused
from potluck.client import call


def operator_token_of(data_dir: Path) -> str:
    """The first operator's token of a server whose data directory this process can read."""
    if not (data_dir / "server.key").is_file():
        problem = f"{data_dir} is no server's data directory."
        raise Refused(ErrorCode.NOT_FOUND, problem, "name the one that `potluck serve` was started with")
    from mcp_server.keys import operator_token

    return operator_token(data_dir)


@dataclass(frozen=True)
class Token:
    """A new token; `link` invites a browser tab with it, and is None for people's roles."""

    secret: str
    link: str | None


def issue(
    endpoint: Endpoint, *, role: str, label: str, max_nodes: int | None = None, expires_in_s: float | None = None
) -> Token:
    """A new token of the server, asked for as its operator."""
    wanted = {"role": role, "label": label, "max_nodes": max_nodes, "expires_in_s": expires_in_s}
    arguments: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    issued = call(endpoint, "issue_token", arguments | {"request_id": uuid.uuid4().hex})
    link = issued.get("link")
    return Token(str(issued["token"]), None if link is None else f"{endpoint.url}/{link}")


def show(token: Token, *, link: bool, qr: bool) -> None:
    """Prints the bare token on stdout, for scripts: or instead its link, or the link as a QR code and in words.

    Only a person at a terminal is shown the link as well, on stderr, so that no log gets a copy of the token.
    """
    if token.link is None or not (link or qr):
        if token.link is not None and sys.stderr.isatty():
            print(f"invitation: {token.link}", file=sys.stderr, flush=True)
        print(token.secret)
        return
    if qr:
        import segno

        segno.make_qr(token.link, error="l").terminal(compact=True)
    print(token.link)
    from mcp_server.settings import is_loopback

    if is_loopback(urlsplit(token.link).hostname or ""):
        print("note: this link leads to this machine alone; give the address that others dial", file=sys.stderr)
