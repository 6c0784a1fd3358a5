"""A node is its key: a file that only its owner can read, made on first use, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from federation.errors import ErrorCode, Refused
from federation.identity import PublicKey, b64url


@dataclass(frozen=True)
class Identity:
    """An Ed25519 key, and the public half that a server knows it by."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """The public key as a JSON Web Key."""
        return PublicKey(
            "ed25519", {"kty": "OKP", "crv": "Ed25519", "x": b64url(self.key.public_key().public_bytes_raw())}
        )

    def sign(self, message: bytes) -> str:
        """The base64url signature over `message`."""
        return b64url(self.key.sign(message))


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write `key` as PEM (PKCS #8) to a new file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def key_folder() -> Path:
    """Where keys live that nobody chose a place for."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "potluck" / "keys"


@contextmanager
def open_identity(path: Path | None = None) -> Iterator[Identity]:
    """The identity in the key file `path`, made if there is none, locked while the context lasts.

    Without a path it is the first of node-1.pem, node-2.pem, ... in `key_folder()` that no other process holds:
    two nodes on one machine are two nodes, and each comes back as the same one.

    Raises:
        Refused: the file holds no Ed25519 key, others can read it, or another process holds it.
    """
    number = 1
    while True:
        file = path or key_folder() / f"node-{number}.pem"
        if not file.exists():
            try:
                write_key(file, Ed25519PrivateKey.generate())
            except FileExistsError:
                pass  # another process was faster; its lock decides
            except OSError as error:
                mend = "pass --key with a path that can be written"
                raise Refused(ErrorCode.INVALID_ARGUMENT, f"no key can be kept at {file}: {error}.", mend) from None
        descriptor = os.open(file, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if path is not None:
                mend = "stop the other node, or pass another --key"
                raise Refused(ErrorCode.FENCED, f"another process is the node of {path}.", mend) from None
            number += 1
            continue
        try:
            yield _read(file)
        finally:
            os.close(descriptor)
        return


def _read(path: Path) -> Identity:
    if path.is_dir():
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"{path} is a folder.", f"name a file, e.g. {path / 'node.pem'}")
    if path.stat().st_mode & 0o077:
        raise Refused(ErrorCode.FORBIDDEN, f"others can read the key file {path}.", f"run: chmod 600 {path}")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        mend = "name another file, or delete this one to get a new key"
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"{path} holds no unencrypted Ed25519 key in PEM.", mend)
    return Identity(key)
