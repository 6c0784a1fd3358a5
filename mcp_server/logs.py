"""Structured logs on stderr: text for people, JSON lines for machines."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

_SECRETS = re.compile(r"(pl_[a-z2-7]+_|Bearer |raw/(?:uploads|blobs)/)[A-Za-z0-9._~+/=-]+")


class _Redacted(logging.Formatter):
    """Keeps tokens and signed URLs out of the log, whoever put them there."""

    def format(self, record: logging.LogRecord) -> str:
        return _SECRETS.sub(r"\1…", super().format(record))


class _JsonLines(_Redacted):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": at, "level": record.levelname, "logger": record.name, "message": text})


def configure(form: str, level: str) -> None:
    """Sends every logger of the process to stderr. Nothing of ours ever writes to stdout."""
    handler = logging.StreamHandler(sys.stderr)
    text = _Redacted("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(_JsonLines("%(message)s") if form == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("mcp", "httpx2", "httpcore2", "sse_starlette", "aiosqlite", "alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
