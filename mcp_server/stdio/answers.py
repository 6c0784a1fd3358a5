"""What the server answered over HTTP: messages, or why there is none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE

LOST = "the server's answer was lost on the way. Mend: call again; a repeated call changes nothing twice"
TOO_LARGE = (
    f"a message may have {DEFAULT_MAX_REQUEST_BODY_SIZE >> 20} MiB, which this one exceeds. "
    "Mend: send less at once; updates go in chunks, or over the raw lane"
)


def too_large(content: str) -> bool:
    """Whether the server would refuse this body, which it may do by breaking the connection off."""
    return len(content.encode()) > DEFAULT_MAX_REQUEST_BODY_SIZE


async def messages(response: httpx2.Response) -> AsyncIterator[str]:
    """The JSON texts of a response, be it one or a stream of them."""
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        async for event in httpx2.EventSource(response, max_event_size=None):
            if event.data:
                yield event.data
        return
    body = (await response.aread()).decode(errors="replace")
    with suppress(ValueError):
        json.loads(body)
        yield body


def problem_of(response: httpx2.Response) -> str:
    """Why there is no answer, from an HTTP error of the server's own where there is one."""
    if response.is_success:
        return LOST
    if response.status_code == httpx2.codes.CONTENT_TOO_LARGE:
        return TOO_LARGE
    with suppress(ValueError, KeyError, TypeError, AttributeError, httpx2.StreamError):
        error = response.json()["error"]
        if "problem" not in error:  # JSON-RPC's form of one
            return str(error["message"])
        return f"{error['code']}: {error['problem'].rstrip('.')}. Mend: {error['mend']}"
    return f"the server answered with HTTP status {response.status_code}. Mend: look into its log"
