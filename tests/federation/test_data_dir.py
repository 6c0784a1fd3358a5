"""A data directory says where its server is in a way that another user of the machine cannot forge."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from federation.data_dir import Occupied, owners_address, read_address, remove_address, sole_owner, write_address
from federation.errors import Refused

URL = "http://127.0.0.1:7860"
FILES = ("lock", "server.json")


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_a_server_leaves_for_bridges_is_private_though_the_directory_is_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with sole_owner(tmp_path):
        write_address(tmp_path, URL)
        assert {name: _mode(tmp_path / name) for name in FILES} == dict.fromkeys(FILES, 0o600)


def test_a_lock_of_old_that_others_can_read_is_made_private_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "lock").touch(0o644)
    (tmp_path / ".server.json").touch(0o644)  # a draft that a killed server left
    with sole_owner(tmp_path):
        write_address(tmp_path, URL)
        assert {name: _mode(tmp_path / name) for name in FILES} == dict.fromkeys(FILES, 0o600)


def test_the_address_of_a_killed_server_is_gone_before_the_next_one_listens(tmp_path: Path) -> None:
    with sole_owner(tmp_path):
        write_address(tmp_path, URL)
    assert read_address(tmp_path) is not None, "it was killed"
    assert owners_address(tmp_path) is None
    with sole_owner(tmp_path):
        assert read_address(tmp_path) is None


def test_a_second_server_that_is_refused_leaves_the_first_ones_address(tmp_path: Path) -> None:
    with sole_owner(tmp_path):
        write_address(tmp_path, URL)
        with pytest.raises(Occupied), sole_owner(tmp_path):
            pass
        found = owners_address(tmp_path)
        assert found is not None
        assert (found.url, found.pid) == (URL, os.getpid())


def test_an_address_that_the_holder_of_the_lock_did_not_write_is_none(tmp_path: Path) -> None:
    with sole_owner(tmp_path):
        write_address(tmp_path, URL)
        told = json.loads((tmp_path / "server.json").read_text())
        (tmp_path / "server.json").write_text(json.dumps(told | {"pid": told["pid"] + 1}))
        assert owners_address(tmp_path) is None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602])
def test_files_that_others_can_open_are_refused(tmp_path: Path, name: str, mode: int) -> None:
    with sole_owner(tmp_path):
        write_address(tmp_path, URL)
        (tmp_path / name).chmod(mode)
        with pytest.raises(Refused, match=r"open to other users.*Mend: start the server anew"):
            owners_address(tmp_path)


def test_files_of_another_user_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sole_owner(tmp_path):
        write_address(tmp_path, URL)
        somebody = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: somebody)
        with pytest.raises(Refused, match=r"belongs to another user.*Mend: run this as the user"):
            owners_address(tmp_path)


def test_where_this_machine_had_better_dial_is_kept_only_when_it_is_elsewhere(tmp_path: Path) -> None:
    write_address(tmp_path, "http://pot:7860", local=URL)
    found = read_address(tmp_path)
    assert found is not None
    assert (found.url, found.local) == ("http://pot:7860", URL)
    write_address(tmp_path, URL, local=URL)
    assert "local" not in json.loads((tmp_path / "server.json").read_text())
    remove_address(tmp_path)
    assert read_address(tmp_path) is None
