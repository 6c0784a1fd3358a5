"""`potluck token`: enrolment from the shell."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

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


def issue(
    endpoint: Endpoint, *, role: str, label: str, max_nodes: int | None = None, expires_in_s: float | None = None
) -> str:
    """A new token of the server, asked for as its operator."""
    wanted = {"role": role, "label": label, "max_nodes": max_nodes, "expires_in_s": expires_in_s}
    arguments: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    return str(call(endpoint, "issue_token", arguments | {"request_id": uuid.uuid4().hex})["token"])
