from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_client.identity import open_identity
from federation.errors import ErrorCode, Refused


def test_a_key_is_made_on_first_use_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "node.pem"
    with open_identity(path) as identity:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
        assert identity.public.verifies(identity.sign(b"hello"), b"hello")
        assert not identity.public.verifies(identity.sign(b"hello"), b"goodbye")


def test_the_same_file_is_the_same_node(tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        with open_identity(tmp_path / "node.pem") as identity:
            ids.add(identity.public.node_id)
    assert len(ids) == 1


def test_two_nodes_on_one_machine_get_two_keys_and_come_back_as_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with open_identity() as first, open_identity() as second:
        assert first.public.node_id != second.public.node_id
    with open_identity() as again:
        assert again.public.node_id == first.public.node_id
    assert sorted(path.name for path in (tmp_path / "potluck" / "keys").iterdir()) == ["node-1.pem", "node-2.pem"]


def test_a_key_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.pem"
    with open_identity(path), pytest.raises(Refused) as caught, open_identity(path):
        pass
    assert caught.value.code is ErrorCode.FENCED


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.pem"
    with open_identity(path):
        pass
    path.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"), open_identity(path):
        pass


def test_a_file_without_an_ed25519_key_is_refused(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"not a key", pem):
        path = tmp_path / "node.pem"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(Refused, match="Ed25519"), open_identity(path):
            pass
