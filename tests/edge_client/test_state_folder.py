from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_client import sealed
from edge_client.sealed import MAGIC, MAX_FACTS, Damaged, read_sealed, write_sealed
from edge_client.state_folder import KEEP_S, StateFolder, open_state, state_root
from federation import fault_points
from federation.errors import ErrorCode, Refused

MINE = {"server": "server.test", "task_id": "task-1", "node_id": "node-1"}


@contextmanager
def opened(root: Path, **others: str) -> Iterator[tuple[StateFolder, list[str]]]:
    told: list[str] = []
    with open_state(root, **(MINE | others), on_trouble=told.append) as folder:
        yield folder, told


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, told):
        assert folder.write("update", {"round": 3, "loss": 0.1}, [b"ab", memoryview(b"cd")])
        assert folder.read("update", {"round": 3}) == ({"round": 3, "loss": 0.1}, b"abcd")
    with opened(tmp_path) as (folder, told):
        assert folder.read("update", {"round": 3}) == ({"round": 3, "loss": 0.1}, b"abcd")
        assert folder.read("training", {}) is None
    assert not told


def test_a_file_cut_short_or_changed_anywhere_is_never_used(tmp_path: Path) -> None:
    path = tmp_path / "update"
    write_sealed(path, {"round": 3}, [b"payload"])
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Damaged):
            read_sealed(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Damaged):
            read_sealed(path)
    path.write_bytes(whole)
    assert read_sealed(path) == ({"round": 3}, b"payload")


def test_a_damaged_file_is_removed_and_the_watcher_is_told_why(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, told):
        (folder.path / "training").write_bytes(b"potluck-state-1\n{}\nhalf")
        assert folder.read("training", {}) is None
        assert not (folder.path / "training").exists()
    assert told == [f"the training kept in {folder.path} is not used: it is not as it was written"]


def test_a_file_of_other_work_is_removed_and_the_watcher_is_told_which(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, told):
        folder.write("training", {"task_id": "task-1", "round": 1}, [b"x"])
        assert folder.read("training", {"task_id": "task-1", "round": 2}) is None
        assert folder.read("training", {}) is None
    assert len(told) == 1
    assert told[0].endswith("is not used: its round is 1, not 2")


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as (folder, told):
        folder.write("training", {"step": 1}, [b"one"])
        monkeypatch.setattr(fault_points, "_fault", fault_points.Fault("disk_full@node_state_unsealed"))
        assert not folder.write("training", {"step": 2}, [b"two"])
        assert folder.read("training", {}) == ({"step": 1}, b"one")
        assert sorted(path.name for path in folder.path.iterdir()) == ["about.json", "lock", "model", "training"]
    assert told[0].endswith("(No space left on device); going on without")


def test_what_a_crash_left_half_written_is_not_in_the_way(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, told):
        (folder.path / "training.new").write_bytes(b"half")
        assert folder.read("training", {}) is None
        assert folder.write("training", {}, [b"whole"])
        assert not (folder.path / "training.new").exists()
    assert not told


@pytest.mark.parametrize(
    "facts", [b"[1]", b"no json", b"\xff", b"[" * 100_000, b'{"x": "' + b"y" * MAX_FACTS + b'"}'], ids=range(5)
)
def test_a_whole_file_whose_facts_are_no_object_is_damaged_all_the_same(tmp_path: Path, facts: bytes) -> None:
    whole = MAGIC + facts + b"\npayload"
    with opened(tmp_path) as (folder, told):
        (folder.path / "update").write_bytes(whole + hashlib.sha256(whole).digest())
        with pytest.raises(Damaged, match="its facts are no"):
            read_sealed(folder.path / "update")
        assert folder.read("update", {}) is None
    assert len(told) == 1


def test_what_a_killed_process_left_half_written_goes_when_the_folder_is_opened(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, _):
        folder.write("update", {}, [b"whole"])
        for name in ("training.new", "update.new"):
            (folder.path / name).write_bytes(b"half")
    with opened(tmp_path) as (folder, told):
        assert sorted(path.name for path in folder.path.iterdir()) == ["about.json", "lock", "model", "update"]
        assert folder.read("update", {}) == ({}, b"whole")
    assert not told


def test_files_are_synced_before_they_get_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    rename, sync = Path.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("sync"), sync(file))[1])
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("rename"), rename(self, target))[1])
    monkeypatch.setattr(sealed, "sync_folder", lambda folder: done.append("sync folder"))
    write_sealed(tmp_path / "update", {}, [b"x"])
    assert done == ["sync", "rename", "sync folder"]


@pytest.mark.e2e
def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edge_client.state_folder import open_state\n"
        "with open_state(Path(sys.argv[1]), server='server.test', task_id='task-1', node_id='node-1', "
        "on_trouble=print): print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(Refused, match="another process is this node and keeps its state in") as caught:
            opened(tmp_path).__enter__()
        other.communicate()
    assert caught.value.code is ErrorCode.FENCED
    with opened(tmp_path):
        pass


def test_each_server_task_and_key_has_a_folder_of_its_own_that_only_its_owner_can_read(tmp_path: Path) -> None:
    with (
        opened(tmp_path) as (one, _),
        opened(tmp_path, server="other.test") as (two, _),
        opened(tmp_path, task_id="../../etc") as (three, _),
        opened(tmp_path, node_id="node-2") as (four, _),
    ):
        paths = {folder.path for folder in (one, two, three, four)}
        assert len(paths) == 4
        assert {path.parent for path in paths} == {tmp_path}, "a task's name is never a path"
        one.write("update", {}, [b"x"])
        assert one.path.stat().st_mode & 0o777 == 0o700
        assert (one.path / "update").stat().st_mode & 0o777 == 0o600


def test_a_folder_goes_when_its_task_is_over(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, told):
        folder.write("update", {}, [b"x"])
        folder.clear()
        assert list(tmp_path.iterdir()) == []
        assert not folder.write("training", {}, [b"late"]), "a thread that is late writes nothing"
    assert list(tmp_path.iterdir()) == []
    assert not told


def test_a_folder_that_nobody_opened_for_long_goes_unless_someone_holds_it(tmp_path: Path) -> None:
    paths: dict[str, Path] = {}
    for task in ("left", "held", "recent"):
        with opened(tmp_path, task_id=task) as (folder, _):
            paths[task] = folder.path
    with opened(tmp_path, task_id="held"):
        for task in ("left", "held"):
            old = time.time() - KEEP_S - 60
            os.utime(paths[task] / "lock", (old, old))
        with opened(tmp_path):
            assert {task: path.exists() for task, path in paths.items()} == {
                "left": False,
                "held": True,
                "recent": True,
            }


def test_a_place_that_cannot_be_written_is_refused_with_the_flag_that_mends_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="--state-dir") as caught:
        opened(tmp_path / "file").__enter__()
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_disk_without_room_for_the_folder_is_refused_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(Refused, match="free some space") as caught:
        opened(tmp_path).__enter__()
    assert caught.value.code is ErrorCode.STORAGE_FULL


def test_state_is_kept_where_one_says_or_beside_the_key_or_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "cache"))
    assert state_root(tmp_path / "here", tmp_path / "node.pem") == tmp_path / "here"
    assert state_root(None, tmp_path / "node.pem") == tmp_path / "node.state"
    assert state_root(None, None) == tmp_path / "cache" / "nodes"
