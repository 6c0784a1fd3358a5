"""Structured logs on stderr: text for people, JSON lines for machines. What strangers send shapes neither."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import ValidationError
from starlette.requests import ClientDisconnect

_SECRETS = re.compile(r"(pl_[a-z2-7]+_|Bearer |raw/(?:uploads|blobs)/|session_id=)[A-Za-z0-9._~+/=%-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_MOST_ALIKE = 20
_MOST_KINDS = 1_000


class _Redacted(logging.Formatter):
    """Keeps tokens and signed URLs out of the log, whoever put them there, and a message on one line."""

    secrets: Sequence[str] = ()
    """Further ones, which do not look like secrets."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _CONTROL.sub(lambda found: repr(found[0])[1:-1], record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        text = _SECRETS.sub(r"\1…", super().format(record))
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return text


class _JsonLines(_Redacted):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": at, "level": record.levelname, "logger": record.name, "message": text})


class Calm(logging.Filter):
    """Lets 20 warnings of a kind through in a minute, the last of which says that more are left out.

    A request that is refused may be worth a line; a million of them are an attack on the disk.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._minute = 0
        self._seen: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        minute = int(self._clock() // 60)
        if minute != self._minute or len(self._seen) > _MOST_KINDS:
            self._minute, self._seen = minute, {}
        kind = (record.name, str(record.msg)[:80])
        count = self._seen[kind] = self._seen.get(kind, 0) + 1
        if count == _MOST_ALIKE:
            record.msg, record.args = f"{record.getMessage()} (more like this in this minute are left out)", None
        return count <= _MOST_ALIKE


class Discreet(logging.Filter):
    """Takes the tracebacks off the complaints of libraries about what a caller sent: they quote it, secrets and all."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ValidationError | ClientDisconnect):
            kinds = sorted({detail["type"] for detail in error.errors()}) if isinstance(error, ValidationError) else []
            record.msg = f"{record.getMessage()}: {type(error).__name__} {', '.join(kinds)}".rstrip()
            record.args = record.exc_info = record.exc_text = None
        return True


def configure(form: str, level: str, secrets: Sequence[str] = ()) -> None:
    """Sends every logger of the process to stderr. Nothing of ours ever writes to stdout."""
    handler = logging.StreamHandler(sys.stderr)
    text = _Redacted("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    formatter = _JsonLines("%(message)s") if form == "json" else text
    formatter.secrets = secrets
    handler.setFormatter(formatter)
    handler.addFilter(Discreet())
    handler.addFilter(Calm())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Libraries at DEBUG print what they are sent: tokens, signed URLs, updates.
    for noisy in ("mcp", "httpx2", "httpcore2", "sse_starlette", "aiosqlite", "alembic", "asyncio", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
