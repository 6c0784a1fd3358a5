"""What the log says of strangers: no secret of theirs, no line of their making, and not too much."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr

import pytest
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from mcp_server import logs
from mcp_server.logs import Calm


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What is written to stderr, with the process's logging put back afterwards."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def configure(said: io.StringIO, form: str, secrets: Sequence[str] = ()) -> None:
    """As `serve` does it, onto `said`."""
    with redirect_stderr(said):
        logs.configure(form, "INFO", secrets)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_message_cannot_begin_a_line_of_its_own(said: io.StringIO, form: str) -> None:
    configure(said, form)
    logging.getLogger("test").warning("no session %s", "x\n12:00:00 INFO root: all is well\r\x1b[2J\u2028")
    assert len(said.getvalue().splitlines()) == 1
    assert "\x1b" not in said.getvalue()


def test_secrets_are_left_out_whatever_they_look_like(said: io.StringIO) -> None:
    configure(said, "text", ["correct horse"])
    secrets = ("pl_abcdefgh_SECRET", "Bearer SECRET", "raw/uploads/SECRET.x", "?session_id=SECRET", "correct horse")
    for secret in secrets:
        logging.getLogger("test").info("said %s", secret)
    assert "SECRET" not in said.getvalue()
    assert "horse" not in said.getvalue()
    assert said.getvalue().count("…") == len(secrets)


def test_a_complaint_about_a_message_does_not_quote_it(said: io.StringIO) -> None:
    configure(said, "text")
    try:
        jsonrpc_message_adapter.validate_json(b'{"node_token":"SECRET"')
    except ValidationError:
        logging.getLogger("mcp.server.sse").exception("Failed to parse message")
    assert "Failed to parse message: ValidationError json_invalid" in said.getvalue()
    assert "SECRET" not in said.getvalue()


def test_a_fault_of_our_own_keeps_its_traceback(said: io.StringIO) -> None:
    configure(said, "json")
    try:
        raise ZeroDivisionError("ours")
    except ZeroDivisionError:
        logging.getLogger("potluck").exception("broke")
    assert "Traceback" in json.loads(said.getvalue())["message"]


def test_a_million_warnings_of_a_kind_are_twenty_lines_a_minute() -> None:
    now = 0.0
    calm = Calm(lambda: now)

    def heard(count: int, message: str = "no session %s", level: int = logging.WARNING) -> int:
        records = (logging.LogRecord("x", level, "", 0, message, (n,), None) for n in range(count))
        return sum(calm.filter(record) for record in records)

    assert heard(1_000) == 20
    assert heard(1_000, "another %s") == 20
    assert heard(100, level=logging.INFO) == 100
    now = 60.0
    assert heard(1_000) == 20
