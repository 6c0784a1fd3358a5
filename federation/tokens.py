"""Bearer tokens: who a caller is. Their secrets are derived from the server's key, so none is ever stored."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.clock import Clock
from federation.errors import ErrorCode, Refused
from federation.server_key import ServerKey
from federation.store.database import Database
from federation.store.events import record
from federation.store.remembered import Remembered
from federation.store.tables import nodes, tokens

FIRST_OPERATOR = "first-operator"
"""The request id of the token that a server's first start makes."""


class Role(StrEnum):
    """What a token's holder may do; `docs/security.md` lists the tools of each."""

    VIEWER = "viewer"
    NODE = "node"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Token:
    """A token as its holder receives it."""

    token_id: str
    role: Role
    label: str
    secret: str
    expires_at: float | None
    max_nodes: int | None


@dataclass(frozen=True)
class Holder:
    """Whom a valid token stands for, and for how many seconds more; None: for ever."""

    token_id: str
    role: Role
    left_s: float | None = None


def token_id_for(key: ServerKey, request_id: str) -> str:
    """The id of the token that `request_id` asked for: the same request, the same token."""
    return base64.b32encode(key.derive("token-id", request_id)[:10]).decode().lower()


def token_secret(key: ServerKey, token_id: str) -> str:
    """The whole bearer token, `pl_<id>_<secret>`."""
    proof = base64.urlsafe_b64encode(key.derive("token", token_id)).rstrip(b"=").decode()
    return f"pl_{token_id}_{proof}"


class Tokens:
    """Issues, revokes and verifies tokens."""

    def __init__(self, database: Database, key: ServerKey, clock: Clock) -> None:
        self._database = database
        self._key = key
        self._clock = clock
        self._rows: Remembered[Mapping[Any, Any]] = Remembered(4096)
        self._on_end: list[Callable[[str], None]] = []

    def on_end(self, listener: Callable[[str], None]) -> None:
        """Calls `listener(token_id)` when a token has been revoked; it must not block."""
        self._on_end.append(listener)

    async def issue(
        self,
        role: Role,
        *,
        label: str,
        request_id: str,
        actor: str,
        max_nodes: int | None = None,
        lifetime_s: float | None = None,
    ) -> tuple[Token, bool]:
        """The token of this request and whether it is new. A repeated request answers the same token."""
        token_id, now = token_id_for(self._key, request_id), self._clock()
        asked = {"role": role.value, "label": label, "max_nodes": max_nodes, "lifetime_s": lifetime_s}

        async def work(connection: AsyncConnection) -> tuple[dict[str, Any], bool]:
            row = (await connection.execute(select(tokens).where(tokens.c.token_id == token_id))).mappings().first()
            if row is not None:
                return dict(row), False
            values = asked | {
                "token_id": token_id,
                "request_id": request_id,
                "created_at": now,
            }
            await connection.execute(insert(tokens).values(values))
            await record(connection, "token_issued", at=now, actor=actor, detail=asked | {"token_id": token_id})
            return values | {"revoked_at": None}, True

        row, new = await self._database.write(work)
        if any(row[name] != value for name, value in asked.items()):
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                f"request_id {request_id!r} was used for another token ({row['role']}, {row['label']!r}).",
                "use a new request_id for a new token",
            )
        if row["revoked_at"] is not None:
            raise Refused(
                ErrorCode.WRONG_STATE,
                f"the token of request_id {request_id!r} has been revoked.",
                "use a new request_id for a new token",
            )
        secret = token_secret(self._key, token_id)
        return Token(token_id, Role(row["role"]), row["label"], secret, _end(row), row["max_nodes"]), new

    async def revoke(self, token_id: str, *, actor: str) -> None:
        """Ends a token at once; repeating it changes nothing."""
        now = self._clock()

        async def work(connection: AsyncConnection) -> bool:
            known = await connection.scalar(select(tokens.c.token_id).where(tokens.c.token_id == token_id))
            if known is None:
                return False
            ended = await connection.execute(
                update(tokens)
                .where(tokens.c.token_id == token_id, tokens.c.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            if ended.rowcount:
                await record(connection, "token_revoked", at=now, actor=actor, detail={"token_id": token_id})
            return True

        def tell() -> None:
            self._rows.forget(token_id)
            for listener in self._on_end:
                listener(token_id)

        if not await self._database.write(work, after=tell):
            raise Refused(
                ErrorCode.NOT_FOUND, f"there is no token {token_id!r}.", "token ids are those that issue_token answers"
            )

    def issued(self, secret: str) -> str | None:
        """The id of a token that this server's key makes, whether or not it is still good; None: it is a guess."""
        prefix, _, rest = secret.partition("_")
        token_id, _, _ = rest.partition("_")
        genuine = hmac.compare_digest(secret.encode(), token_secret(self._key, token_id).encode())
        return token_id if prefix == "pl" and genuine else None

    async def verify(self, secret: str) -> Holder | None:
        """Whom `secret` stands for; None when it is wrong, revoked or past its end."""
        token_id = self.issued(secret)
        if token_id is None:
            return None
        row = await self._rows.get(token_id, lambda: self._row(token_id))
        if row is None or row["revoked_at"] is not None:
            return None
        end = _end(row)
        left = None if end is None else end - self._clock()
        if left is not None and left <= 0:
            return None
        return Holder(token_id, Role(row["role"]), left)

    async def _row(self, token_id: str) -> Mapping[Any, Any] | None:
        async with self._database.read() as connection:
            query = select(tokens).where(tokens.c.token_id == token_id)
            return (await connection.execute(query)).mappings().first()

    async def check_room(self, connection: AsyncConnection, token_id: str) -> None:
        """Refuses when a token has enrolled as many nodes as it may."""
        limit = await connection.scalar(select(tokens.c.max_nodes).where(tokens.c.token_id == token_id))
        if limit is None:
            return
        enrolled = await connection.scalar(select(func.count()).select_from(nodes).where(nodes.c.token_id == token_id))
        if (enrolled or 0) >= limit:
            raise Refused(
                ErrorCode.ENROLMENT_FULL,
                f"this token has enrolled the {limit} nodes that it may.",
                "start the node with the key file it enrolled with, or ask an operator for a token (issue_token)",
            )


def _end(row: Mapping[Any, Any]) -> float | None:
    """When a token's life is over (Unix seconds)."""
    return None if row["lifetime_s"] is None else float(row["created_at"] + row["lifetime_s"])
