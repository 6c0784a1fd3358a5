"""What a host of the older era said when it opened its session, so that a new server can be told it again."""

from __future__ import annotations

import json
from typing import Any

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

    def headers(self) -> dict[str, str]:
        """What every later request carries."""
        pairs = {SESSION_ID: self.id, PROTOCOL_VERSION: self._version}
        return {name: value for name, value in pairs.items() if value is not None}

    def forget_ids(self) -> None:
        """A new handshake begins."""
        self.id = self._version = None

    def note_request(self, message: dict[str, Any]) -> None:
        """Remembers what a new server would have to be told."""
        params = message.get("params") or {}
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
        self.id = session_id
        self._version = (answer.get("result") or {}).get("protocolVersion")

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
