"""The one secret of a server: 32 random bytes in its data directory, from which every other secret is derived."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from federation.errors import ErrorCode, Refused

_FILE = "server.key"
_SIZE = 32


@dataclass(frozen=True)
class ServerKey:
    """Derives secrets by purpose (HMAC-SHA-256), so that none of them reveals another."""

    secret: bytes

    @classmethod
    def of(cls, data_dir: Path) -> ServerKey:
        """The key of `data_dir`, made on first use and readable by its owner alone."""
        path = data_dir / _FILE
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                _create(path)
        secret = path.read_bytes()
        if len(secret) != _SIZE:
            raise Refused(
                ErrorCode.WRONG_STATE,
                f"{path} holds {len(secret)} bytes instead of {_SIZE}: the server key is damaged.",
                "restore the file from a backup; removing it makes every token and upload URL invalid",
            )
        return cls(secret)

    def derive(self, purpose: str, *parts: str) -> bytes:
        """32 bytes that belong to this purpose and these parts alone."""
        message = "\x1f".join((purpose, *parts)).encode()
        return hmac.new(self.secret, message, hashlib.sha256).digest()


def _create(path: Path) -> None:
    """Writes a new key whole or not at all: the name appears only once the bytes are on disk."""
    draft = path.with_name(f".{_FILE}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_SIZE))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)
    finally:
        draft.unlink()
