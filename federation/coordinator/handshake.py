"""Who a node is: challenge, signature, node token, and the fence between two processes with one key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.ports import Shared
from federation.errors import ErrorCode, Refused
from federation.identity import PublicKey, handshake_message
from federation.store.events import record
from federation.store.remembered import Remembered
from federation.store.tables import nodes

CODECS = ("none",)


@dataclass(frozen=True)
class Challenge:
    """What a node must sign to go on."""

    challenge: str
    expires_in_s: float


@dataclass(frozen=True)
class Welcome:
    """The outcome of a handshake."""

    node_id: str
    node_token: str
    codec: str


class Handshakes:
    """The two calls of a handshake, and the check of the node token that every later call carries."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._challenges = URLSafeSerializer(shared.key.derive("challenge"), salt="challenge")
        self._node_tokens = URLSafeSerializer(shared.key.derive("node-token"), salt="node-token")
        self._nodes: Remembered[dict[str, Any]] = Remembered(4096)

    async def challenge(self, key: PublicKey) -> Challenge:
        """A fresh challenge for this key. Nothing is stored: it carries its own proof, and the node's epoch so far."""
        async with self._shared.database.read() as connection:
            epoch = await connection.scalar(select(nodes.c.epoch).where(nodes.c.node_id == key.node_id))
        claims = {"node": key.node_id, "epoch": epoch or 0, "at": self._shared.clock()}
        text = self._challenges.dumps(claims | {"nonce": secrets.token_urlsafe(16)})
        return Challenge(str(text), self._shared.limits.challenge_s)

    async def accept(
        self,
        key: PublicKey,
        *,
        audience: str,
        challenge: str,
        signature: str,
        name: str,
        capabilities: dict[str, Any],
        enrolment: str,
    ) -> Welcome:
        """Enrols the node, or the node's newer process. The same answer again gives the same welcome."""
        after = self._check_challenge(key, challenge)
        if not key.verifies(signature, handshake_message(audience, challenge)):
            raise Refused(
                ErrorCode.BAD_SIGNATURE,
                "the signature of the challenge does not fit public_key.",
                "sign the exact text in `sign`, base64url without padding (p256: SHA-256, the 64 bytes r || s)",
            )
        codec = negotiate_codec(capabilities.get("codecs", list(CODECS)))
        node_id, now = key.node_id, self._shared.clock()

        async def work(connection: AsyncConnection) -> int:
            row = (await connection.execute(select(nodes).where(nodes.c.node_id == node_id))).mappings().first()
            epoch = 0 if row is None else int(row["epoch"])
            if row is not None and (row["challenge"], row["token_id"]) == (challenge, enrolment):
                return epoch
            if epoch != after:
                raise Refused(
                    ErrorCode.BAD_CHALLENGE,
                    "a newer process has shaken hands with this key since the challenge was issued.",
                    "call handshake without a challenge to get a new one; run one process a key",
                )
            if row is None or row["token_id"] != enrolment:
                await self._shared.tokens.check_room(connection, enrolment)
            values = {
                "name": name,
                "public_key": {"alg": key.alg, "jwk": key.jwk},
                "capabilities": capabilities,
                "token_id": enrolment,
                "epoch": epoch + 1,
                "challenge": challenge,
                "seen_at": now,
            }
            if row is None:
                await connection.execute(insert(nodes).values(values | {"node_id": node_id, "created_at": now}))
            else:
                await connection.execute(update(nodes).where(nodes.c.node_id == node_id).values(values))
            kind = "node_enrolled" if row is None else "node_returned"
            await record(connection, kind, at=now, actor=node_id, detail={"token_id": enrolment, "epoch": epoch + 1})
            return epoch + 1

        def tell() -> None:
            self._nodes.forget(node_id)
            self._shared.notices.nodes_changed()

        epoch = await self._shared.database.write(work, after=tell)
        token = self._node_tokens.dumps({"node": node_id, "epoch": epoch, "enrolment": enrolment})
        return Welcome(node_id, str(token), codec)

    async def authenticate(self, node_id: str, node_token: str, enrolment: str) -> dict[str, Any]:
        """The node's row, if the token is its own, its newest, and came over the enrolment that it belongs to."""
        try:
            claims = self._node_tokens.loads(node_token)
        except BadSignature:
            claims = {}
        if (claims.get("node"), claims.get("enrolment")) != (node_id, enrolment):
            raise Refused(
                ErrorCode.BAD_NODE_TOKEN,
                f"node_token is not that of {node_id!r} under this bearer token.",
                "use the node_id and node_token that handshake answered, with the bearer token it was called with",
            )
        row = await self._nodes.get(node_id, lambda: self._row(node_id))
        if row is None or row["epoch"] != claims["epoch"]:
            raise Refused(
                ErrorCode.FENCED,
                "another process has since shaken hands with this node's key, so this one no longer speaks for it.",
                "stop this process, or give each process a key of its own (--key FILE)",
            )
        return dict(row)

    async def _row(self, node_id: str) -> dict[str, Any] | None:
        async with self._shared.database.read() as connection:
            row = (await connection.execute(select(nodes).where(nodes.c.node_id == node_id))).mappings().first()
        return None if row is None else dict(row)

    def _check_challenge(self, key: PublicKey, challenge: str) -> int:
        """The epoch after which the challenge was issued."""
        mend = "call handshake without a challenge to get a new one"
        try:
            claims = self._challenges.loads(challenge)
        except BadSignature:
            raise Refused(ErrorCode.BAD_CHALLENGE, "the challenge was not issued by this server.", mend) from None
        if claims["node"] != key.node_id:
            raise Refused(ErrorCode.BAD_CHALLENGE, "the challenge was issued for another key.", mend)
        if self._shared.clock() - claims["at"] > self._shared.limits.challenge_s:
            raise Refused(ErrorCode.BAD_CHALLENGE, "the challenge has expired.", mend)
        return int(claims["epoch"])


def negotiate_codec(offered: list[str]) -> str:
    """The best codec that both sides know."""
    for codec in CODECS:
        if codec in offered:
            return codec
    raise Refused(
        ErrorCode.INCOMPATIBLE_NODE,
        f"the node offers the codecs {offered}, the server knows {list(CODECS)}.",
        "offer at least `none` (plain safetensors)",
    )
