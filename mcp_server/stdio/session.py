"""What a host of the older era said when it opened its session, so that a new server can be told it again."""

from __future__ import annotations

import json
from typing import Any

from mcp_server.stdio.headers import part

SESSION_ID = "mcp-session-id"
PROTOCOL_VERSION = "mcp-protocol-version"


class Session:
    """A session of the handshake era, as the host knows it. It outlives the server that it was opened with."""

    def __init__(self) -> None:
        self.id: str | None = None
        self._version: str | None = None
        self._opening: dict[str, Any] | None = None
        self._level: dict[str, Any] | None = None
        self.uris: dict[str, None] = {}

    @property
    def opened(self) -> bool:
        """Whether the host shook hands."""
        return self._opening is not None

    @property
    def lost(self) -> bool:
        """Whether the host shook hands, yet no server has a session for it."""
        return self.opened and self.id is None

    def headers(self) -> dict[str, str]:
        """What every later request carries."""
        return session_headers(self.id, self._version)

    def forget_ids(self) -> None:
        """A new handshake begins."""
        self.id = self._version = None

    def note_request(self, message: dict[str, Any]) -> None:
        """Remembers what a new server would have to be told."""
        params = part(message, "params")
        match message["method"]:
            case "initialize":
                self._opening = params
            case "logging/setLevel":
                self._level = params
            case "resources/subscribe":
                self.uris[str(params.get("uri"))] = None
            case "resources/unsubscribe":
                self.uris.pop(str(params.get("uri")), None)

    def note_handshake(self, session_id: str | None, answer: dict[str, Any]) -> None:
        """The server answered `initialize`."""
        self.use(session_id, part(answer, "result").get("protocolVersion"))

    def use(self, session_id: str | None, version: str | None) -> None:
        """From now on, requests belong to this session of the server's."""
        self.id, self._version = session_id, version

    def replay(self) -> list[dict[str, Any]]:
        """The requests that make a new server's session like the old one, `initialize` first."""
        told: list[dict[str, Any]] = [{"method": "initialize", "params": self._opening}]
        if self._level is not None:
            told.append({"method": "logging/setLevel", "params": self._level})
        told += [{"method": "resources/subscribe", "params": {"uri": uri}} for uri in self.uris]
        return [{"jsonrpc": "2.0", "id": f"potluck-bridge-{n}", **each} for n, each in enumerate(told)]

    def notices_that_may_be_lost(self) -> list[str]:
        """For each subscription, the notice that makes the host read again: changes during the gap told nobody."""
        method = "notifications/resources/updated"
        return [json.dumps({"jsonrpc": "2.0", "method": method, "params": {"uri": uri}}) for uri in self.uris]


def session_headers(session_id: str | None, version: str | None) -> dict[str, str]:
    """How a request says which session it belongs to."""
    pairs = {SESSION_ID: session_id, PROTOCOL_VERSION: version}
    return {name: value for name, value in pairs.items() if value is not None}
