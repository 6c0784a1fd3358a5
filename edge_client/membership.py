"""What a node is to a server: an id, proved once by signature, and a token for every call after that."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable
from typing import Any

from edge_client.answers import LATER
from edge_client.connection import Connection
from edge_client.identity import Identity
from edge_client.models import Models
from edge_client.patience import Patience
from federation.aggregation.methods import METHODS
from federation.errors import ErrorCode, Refused
from federation.identity import handshake_message

FAILURES = 6
"""How often a call may meet a failure inside the server before the node gives up; every call is safe to repeat."""


class Membership:
    """A node's standing with a server; `renew` is called once before any `call`.

    Args:
        connection: to the server.
        identity: the node's key.
        name: what people read in lists of nodes.
        audience: the server's host as it was dialled; the node's proof is worth nothing to any other server.
        on_wait: told why the server is too busy, and for how many seconds the node waits.
        models: what the node can build.
    """

    def __init__(
        self,
        connection: Connection,
        identity: Identity,
        name: str | None,
        audience: str,
        on_wait: Callable[[str, float], None],
        models: Models | None = None,
    ) -> None:
        self.connection = connection
        self._audience = audience
        self._name = name
        self._on_wait = on_wait
        self._models = models or Models()
        self._renewal = asyncio.Lock()
        self._token = ""
        self.identity = identity
        self.node_id = identity.public.node_id

    async def renew(self) -> dict[str, Any]:
        """Shake hands: prove the key, get a node token; the server's terms."""
        public = self.identity.public
        hello: dict[str, Any] = {
            "public_key": {"alg": public.alg, "jwk": public.jwk},
            "capabilities": _capabilities(self._models),
            "audience": self._audience,
        }
        if self._name:
            hello["name"] = self._name
        challenge = str((await self._patiently("handshake", hello))["challenge"])
        signature = self.identity.sign(handshake_message(self._audience, challenge))
        proof = {"challenge": challenge, "signature": signature}
        terms = await self._patiently("handshake", hello | proof)
        self.node_id, self._token = str(terms["node_id"]), str(terms["node_token"])
        return terms

    async def call(
        self, tool: str, arguments: dict[str, Any], *, timeout: float = 60.0, once: bool = False
    ) -> dict[str, Any]:
        """Call a node tool; a node token that the server no longer knows is renewed.

        With `once`, a server that is out of reach is `Lost` at once: what is said every few seconds is not repeated.

        Raises:
            Refused: FENCED when another process came with the same key; whatever else waiting does not mend; and what
                it did not mend within the connection's patience.
            Lost: the server was out of reach for longer than the connection's patience.
        """
        token = self._token
        try:
            return await self._patiently(tool, self._signed_in(arguments), timeout=timeout, once=once)
        except Refused as refused:
            if refused.code is not ErrorCode.BAD_NODE_TOKEN:
                raise
        async with self._renewal:
            if self._token == token:  # else another call has just renewed it, and a second handshake would undo that
                await self.renew()
        return await self._patiently(tool, self._signed_in(arguments), timeout=timeout, once=once)

    async def ask(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool that is not about this node; raises as `call` does."""
        return await self._patiently(tool, arguments)

    def _signed_in(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"node_id": self.node_id, "node_token": self._token} | arguments

    async def _patiently(
        self, tool: str, arguments: dict[str, Any], *, timeout: float = 60.0, once: bool = False
    ) -> dict[str, Any]:
        failures, patience = 0, Patience(self.connection.patience_s, self._on_wait)
        while True:
            try:
                return await self.connection.call(tool, arguments, timeout=timeout, once=once)
            except Refused as refused:
                failures += refused.code is ErrorCode.INTERNAL
                if refused.code not in LATER and not (refused.code is ErrorCode.INTERNAL and failures <= FAILURES):
                    raise
                await patience.wait(refused)


def _capabilities(models: Models) -> dict[str, Any]:
    return {
        "runtime": "python",
        "runtime_version": platform.python_version(),
        "device": "cpu",
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "codecs": ["none"],
        "methods": sorted(METHODS),
        "model_ids": models.known(),
    }
