"""A session of the older era, opened again with a server that does not know it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx2

from mcp_server.stdio.answers import messages, problem_of
from mcp_server.stdio.headers import PLAIN, part
from mcp_server.stdio.session import SESSION_ID, Session, session_headers
from mcp_server.stdio.upstream import Gone, Upstream

log = logging.getLogger(__name__)


class NotReopened(Gone):
    """The server did not open the session; the next call tries again."""


async def reopen(session: Session, upstream: Upstream) -> None:
    """Opens a session like `session`, and lets that one be it once all of it is there; until then nothing changes.

    Raises:
        NotReopened: the server answered, but not with a session.
        Gone: no server is there.
        httpx2.TransportError: the connection broke.
    """
    opening, *others = session.replay()
    session_id, version = await _open(upstream, opening)
    headers = PLAIN | session_headers(session_id, version)
    try:
        for each in [{"jsonrpc": "2.0", "method": "notifications/initialized"}, *others]:
            _, told = await _say(upstream, each, headers)
            if "id" in each and "result" not in told:  # a task that is there no more, say
                log.warning("%s was not repeated: %s", each["method"], part(told, "error").get("message", "no answer"))
    except (Gone, httpx2.TransportError):
        with suppress(Gone, httpx2.TransportError):  # nobody else will ever end it
            async with upstream.stream("DELETE", "/mcp", headers=session_headers(session_id, version)):
                pass
        raise
    session.use(session_id, version)


async def _open(upstream: Upstream, opening: dict[str, Any]) -> tuple[str, str | None]:
    session_id, told = await _say(upstream, opening, PLAIN)
    if "result" not in told or session_id is None:
        why = part(told, "error").get("message", "it named no session")
        raise NotReopened(f"the server did not open the session again: {why}. Mend: call again")
    return session_id, part(told, "result").get("protocolVersion")


async def _say(
    upstream: Upstream, message: dict[str, Any], headers: Mapping[str, str]
) -> tuple[str | None, dict[str, Any]]:
    """The session that the server named, and its answer; an empty one where none was due."""
    answer: dict[str, Any] = {}
    async with upstream.stream("POST", "/mcp", headers=headers, content=json.dumps(message)) as response:
        async for text in messages(response):
            told = json.loads(text)
            if isinstance(told, dict) and told.get("id") == message.get("id", ""):
                answer = told
        if not response.is_success:
            problem = problem_of(response)
            raise NotReopened(f"the server did not open the session again: {problem.rstrip('.')}")
    return response.headers.get(SESSION_ID), answer
