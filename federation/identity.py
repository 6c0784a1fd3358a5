"""A node is its key: key formats, the messages that it signs, and how they are checked.

Keys are JSON Web Keys (RFC 7517): Ed25519 as `{kty: OKP, crv: Ed25519, x}` (RFC 8037) and P-256 as
`{kty: EC, crv: P-256, x, y}`. Signatures are base64url without padding; those of P-256 are the 64 bytes
r || s that WebCrypto makes (IEEE P1363), hashed with SHA-256. A node's id is its key's thumbprint (RFC 7638).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from federation.errors import ErrorCode, Refused

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_SMALL_ORDER = frozenset(  # y of the eight points whose order divides 8: a signature by one proves nothing
    {0, 1, _P - 1}
    | {
        int.from_bytes(bytes.fromhex(y), "little") & (2**255 - 1)
        for y in (
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        )
    }
)

_MEMBERS = {"ed25519": ("crv", "kty", "x"), "p256": ("crv", "kty", "x", "y")}
_KINDS = {"ed25519": ("OKP", "Ed25519"), "p256": ("EC", "P-256")}


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text: str) -> bytes:
    """The bytes of base64url text; ValueError if it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64url: {error}") from None


@dataclass(frozen=True)
class PublicKey:
    """A node's public key: `alg` is ed25519 or p256, `jwk` only its required members."""

    alg: str
    jwk: dict[str, str]

    @classmethod
    def parse(cls, raw: Any) -> PublicKey:
        """The key in `{alg, jwk}`, checked to be a point of its curve; else a refusal."""
        mend = 'send {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": ...}} or the same for p256'
        try:
            alg, jwk = raw["alg"], raw["jwk"]
            members = {name: jwk[name] for name in _MEMBERS[alg]}
        except (KeyError, TypeError):
            raise Refused(ErrorCode.INVALID_ARGUMENT, "public_key is not a key of a known kind.", mend) from None
        if (members["kty"], members["crv"]) != _KINDS[alg] or not all(isinstance(v, str) for v in members.values()):
            raise Refused(ErrorCode.INVALID_ARGUMENT, f"public_key is no {alg} key.", mend)
        key = cls(alg, members)
        try:
            key._load()
        except ValueError as error:
            raise Refused(ErrorCode.INVALID_ARGUMENT, f"public_key is not a valid {alg} key: {error}.", mend) from None
        return key

    @property
    def node_id(self) -> str:
        """`node-` and the first 80 bits of the RFC 7638 thumbprint."""
        canonical = json.dumps(self.jwk, sort_keys=True, separators=(",", ":")).encode()
        return "node-" + base64.b32encode(hashlib.sha256(canonical).digest()[:10]).decode().lower()

    def verifies(self, signature: str, message: bytes) -> bool:
        """Whether `signature` (base64url) over `message` was made by this key."""
        try:
            raw, key = from_b64url(signature), self._load()
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(raw, message)
            elif len(raw) != 64:
                return False
            else:
                der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
                key.verify(der, message, ec.ECDSA(hashes.SHA256()))
        except (ValueError, InvalidSignature):
            return False
        return True

    def _load(self) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
        x = _coordinate(self.jwk["x"])
        if self.alg == "ed25519":
            _check_edwards_point(x)
            return ed25519.Ed25519PublicKey.from_public_bytes(x)
        y = _coordinate(self.jwk["y"])
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
        return numbers.public_key()


def _coordinate(text: str) -> bytes:
    """32 bytes in their one spelling, for a key that could be spelt in two ways would be two nodes."""
    raw = from_b64url(text)
    if len(raw) != 32 or b64url(raw) != text:
        raise ValueError("a coordinate is not 32 bytes in base64url without padding")
    return raw


def _check_edwards_point(encoded: bytes) -> None:
    """RFC 8032, section 5.1.3: y < p, a point of the curve; and none of small order."""
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    if y >= _P or pow(u * v, (_P - 1) // 2, _P) not in (0, 1):
        raise ValueError("x is no point of the curve")
    if y in _SMALL_ORDER:
        raise ValueError("x is a point of small order")


def handshake_message(audience: str, challenge: str) -> bytes:
    """What a node signs to prove that it holds its key: to this server (the host as the node dialled it) alone."""
    return f"potluck-handshake-v1\n{audience}\n{challenge}".encode()


def update_message(
    *, node_id: str, task_id: str, round: int, base_version: int, sha256: str, num_examples: int, num_steps: int
) -> bytes:
    """What a node signs to stand by an update: for whom it is, the bytes, and the counts that weigh them."""
    fields = (node_id, task_id, round, base_version, sha256, num_examples, num_steps)
    return "\n".join(["potluck-update-v1", *map(str, fields)]).encode()
