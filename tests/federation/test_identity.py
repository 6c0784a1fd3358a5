from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from federation.errors import ErrorCode, Refused
from federation.identity import PublicKey, b64url, from_b64url, handshake_message, update_message

ED = ed25519.Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
EC = ec.derive_private_key(12345, ec.SECP256R1())


def ed_jwk(x: str | None = None) -> dict[str, str]:
    raw = ED.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64url(raw) if x is None else x}


def ec_jwk(x: bytes | None = None, y: bytes | None = None) -> dict[str, str]:
    point = EC.public_key().public_numbers()
    x = point.x.to_bytes(32, "big") if x is None else x
    y = point.y.to_bytes(32, "big") if y is None else y
    return {"kty": "EC", "crv": "P-256", "x": b64url(x), "y": b64url(y)}


def ec_sign(message: bytes) -> bytes:
    r, s = decode_dss_signature(EC.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def parsed(alg: str, jwk: Any) -> PublicKey:
    return PublicKey.parse({"alg": alg, "jwk": jwk})


def refused(raw: Any) -> str:
    with pytest.raises(Refused) as caught:
        PublicKey.parse(raw)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert '"kty": "OKP"' in caught.value.mend
    return caught.value.problem


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xfe", b"\xfb\xef\xff", bytes(range(256))])
def test_base64url_leads_back_and_has_neither_padding_nor_the_standard_alphabet(data: bytes) -> None:
    assert from_b64url(b64url(data)) == data
    assert not set(b64url(data)) & set("=+/")


@pytest.mark.parametrize("text", ["a", "é", "a b=", "ab\n", "ab!"])
def test_text_that_is_no_base64url_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|ASCII"):
        from_b64url(text)


def test_the_node_id_is_80_bits_of_the_thumbprint_in_rfc_8037() -> None:
    # RFC 8037, appendix A.3: the thumbprint of its example key is kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k.
    key = parsed("ed25519", {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    thumbprint = from_b64url("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    assert key.node_id == "node-" + base64.b32encode(thumbprint[:10]).decode().lower()


@pytest.mark.parametrize(("alg", "jwk"), [("ed25519", ed_jwk()), ("p256", ec_jwk())])
def test_members_beyond_the_required_ones_change_nothing_and_are_not_kept(alg: str, jwk: dict[str, str]) -> None:
    key = parsed(alg, jwk | {"kid": "mine", "use": "sig", "key_ops": ["verify"], "ext": True, "d": "secret"})
    assert key == parsed(alg, jwk)
    assert key.node_id == parsed(alg, dict(reversed(jwk.items()))).node_id
    assert key.jwk == jwk


def test_different_keys_are_different_nodes() -> None:
    assert parsed("ed25519", ed_jwk()).node_id != parsed("p256", ec_jwk()).node_id


@pytest.mark.parametrize(
    "raw",
    [
        None,
        1,
        "key",
        [],
        {},
        {"alg": "ed25519"},
        {"alg": "ed25519", "jwk": None},
        {"alg": "ed25519", "jwk": []},
        {"alg": [], "jwk": {}},
        {"alg": "rsa", "jwk": {}},
        {"alg": "none", "jwk": {}},
        {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519"}},
        {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "X25519", "x": ed_jwk()["x"]}},
        {"alg": "ed25519", "jwk": {"kty": ["OKP"], "crv": "Ed25519", "x": ed_jwk()["x"]}},
        {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": 5}},
        {"alg": "ed25519", "jwk": ed_jwk("!" * 43)},
        {"alg": "ed25519", "jwk": ed_jwk("")},
        {"alg": "ed25519", "jwk": ed_jwk(b64url(b"\1" * 31))},
        {"alg": "ed25519", "jwk": ed_jwk(b64url(b"\1" * 33))},
        {"alg": "p256", "jwk": ed_jwk()},
        {"alg": "ed25519", "jwk": ec_jwk()},
        {"alg": "p256", "jwk": ec_jwk() | {"crv": "P-384"}},
        {"alg": "p256", "jwk": ec_jwk(y=b"\1" * 32)},
        {"alg": "p256", "jwk": ec_jwk(x=b"", y=b"")},
        {"alg": "p256", "jwk": ec_jwk(x=b"\xff" * 32)},
        {"alg": "p256", "jwk": ec_jwk(x=b"\xff" * 1000)},
    ],
)
def test_what_is_no_public_key_is_refused(raw: Any) -> None:
    assert "public_key" in refused(raw)


def test_one_key_is_one_node_however_it_is_spelt() -> None:
    x = ed_jwk()["x"]
    other_bits = x[:-1] + chr(ord(x[-1]) + 1)
    assert from_b64url(other_bits) == from_b64url(x)
    ids = {parsed("ed25519", ed_jwk()).node_id}
    for spelling in (x + "=", x.replace("-", "+").replace("_", "/"), other_bits):
        refusal_or_same_id(ids, "ed25519", ed_jwk(spelling))
    assert len(ids) == 1


def test_one_p256_key_is_one_node_however_long_its_coordinates_are_written() -> None:
    ids = {parsed("p256", ec_jwk()).node_id}
    refusal_or_same_id(ids, "p256", ec_jwk(x=b"\0" + from_b64url(ec_jwk()["x"])))
    assert len(ids) == 1


def refusal_or_same_id(ids: set[str], alg: str, jwk: dict[str, str]) -> None:
    with suppress(Refused):
        ids.add(parsed(alg, jwk).node_id)


@pytest.mark.parametrize("x", [b"\1" + b"\0" * 31, b"\0" * 32, b"\2" + b"\0" * 31])
def test_an_ed25519_key_of_small_order_or_off_the_curve_is_refused(x: bytes) -> None:
    # Whoever likes can sign for a key of small order: (identity, 0) verifies under the identity for every message.
    assert "valid ed25519 key" in refused({"alg": "ed25519", "jwk": ed_jwk(b64url(x))})


def test_a_signature_by_the_key_over_the_message_verifies_and_no_other() -> None:
    message = handshake_message("host:1", "challenge")
    for key, sign in ((parsed("ed25519", ed_jwk()), ED.sign), (parsed("p256", ec_jwk()), ec_sign)):
        signature = sign(message)
        assert key.verifies(b64url(signature), message)
        assert not key.verifies(b64url(signature), message + b"\n")
        assert not key.verifies(b64url(signature[:-1] + bytes([signature[-1] ^ 1])), message)
        for broken in ("", "!", "é", b64url(b"\0" * 64), b64url(signature[:-1]), b64url(signature + b"\0")):
            assert not key.verifies(broken, message)
    assert not parsed("p256", ec_jwk()).verifies(b64url(ED.sign(message)), message)
    assert not parsed("ed25519", ed_jwk()).verifies(b64url(ec_sign(message)), message)


def test_a_p256_signature_in_der_is_not_what_webcrypto_makes() -> None:
    der = EC.sign(b"m", ec.ECDSA(hashes.SHA256()))
    assert not parsed("p256", ec_jwk()).verifies(b64url(der), b"m")


def test_the_signed_texts_are_fixed() -> None:
    assert handshake_message("host:1", "abc") == b"potluck-handshake-v1\nhost:1\nabc"
    message = update_message(
        node_id="node-a", task_id="task-b", round=3, base_version=2, sha256="ab", num_examples=10, num_steps=4
    )
    assert message == b"potluck-update-v1\nnode-a\ntask-b\n3\n2\nab\n10\n4"


def test_every_field_of_an_update_is_signed() -> None:
    fields: dict[str, Any] = {
        "node_id": "n", "task_id": "t", "round": 1, "base_version": 0, "sha256": "a", "num_examples": 5, "num_steps": 2
    }  # fmt: skip
    changed = [fields | {name: "other" if isinstance(value, str) else value + 1} for name, value in fields.items()]
    assert len({update_message(**each) for each in [fields, *changed]}) == 1 + len(fields)


def test_a_signature_for_one_purpose_is_none_for_another() -> None:
    key, message = parsed("ed25519", ed_jwk()), handshake_message("host", "x")
    update = update_message(node_id="n", task_id="t", round=1, base_version=0, sha256="a", num_examples=1, num_steps=1)
    assert not key.verifies(b64url(ED.sign(message)), update)


def test_a_key_survives_json() -> None:
    key = parsed("p256", ec_jwk())
    assert PublicKey.parse(json.loads(json.dumps({"alg": key.alg, "jwk": key.jwk}))) == key
