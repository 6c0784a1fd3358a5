"""What every case must leave as it was, whatever it was: the store, the spool, the server, and its secrets."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from tests.mcp_server.rpc import strict_json
from tests.mcp_server.running import Served, Snapshot

_OURS = str(Path(__file__).parents[2])
_INTERNALS = ("Traceback", 'File "', "site-packages", "sqlalchemy", "sqlite3.", "pydantic_core", "object at 0x", _OURS)
_DELIBERATE = {507}


class Surface(Protocol):
    """One side of the server, and what may be thrown at it."""

    name: str

    def cases(self, count: int, seed: int) -> list[Any]:
        """What to throw."""
        ...

    async def throw(self, case: Any) -> str:
        """The outcome in a word or two. Raises AssertionError when an invariant is broken."""
        ...


def check_text(served: Served | None, text: str) -> None:
    """No answer shows the server's inside."""
    shown = [word for word in _INTERNALS if word in text]
    if served is not None and str(served.data_dir) in text:
        shown.append("the data directory")
    assert not shown, f"{shown} in {text[:2000]}"


def check_status(status: int) -> None:
    """The server fails at nothing; a full disk is a refusal."""
    assert status < 500 or status in _DELIBERATE, status


def outcome_of(result: dict[str, Any]) -> str:
    """Of a JSON-RPC answer; a tool's refusal has a code, a problem and a mend."""
    if "error" in result:
        error = result["error"]
        assert isinstance(error["code"], int)
        assert error["code"] != -32603, error
        return f"rpc {error['code']}"
    content = result.get("result", {})
    if content.get("isError"):
        refused = content["structuredContent"]["error"]
        assert refused["problem"], refused
        assert refused["mend"], refused
        assert refused["code"] != "internal", refused
        return str(refused["code"])
    return "ok"


def answers_in(body: str, content_type: str) -> list[dict[str, Any]]:
    """The JSON-RPC answers of a response, read strictly."""
    if content_type.startswith("text/event-stream"):
        lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: {")]
        return [strict_json(line) for line in lines]
    if content_type.startswith("application/json") and body:
        found = strict_json(body)
        return found if isinstance(found, list) else [found]
    return []


def check_unchanged(
    before: Snapshot, after: Snapshot, *, touches: Collection[str] = (), may_free: bool = False
) -> None:
    """Nothing was written but in the tables named."""
    for table, rows in before.tables.items():
        if table not in touches:
            assert after.tables[table] == rows, f"{table} was written"
    if may_free:
        assert after.files.items() <= before.files.items()
    else:
        assert after.files == before.files


async def check_alive(served: Served) -> None:
    """It still answers, and the database as well."""
    assert (await served.http.get("/healthz")).json() == {"status": "ok"}
    assert "tasks" in await served.rpc().call("list_tasks")


def shown(case: Any) -> str:
    """A case for a message."""
    try:
        return json.dumps(case)[:3000]
    except (TypeError, ValueError, RecursionError):
        return repr(case)[:3000]
