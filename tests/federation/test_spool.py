from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from federation.errors import ErrorCode, Refused
from federation.spool import Spool

DATA = bytes(range(256)) * 40
SHA = hashlib.sha256(DATA).hexdigest()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def refused(code: ErrorCode, call: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.code is code
    return caught.value


def stream(spool: Spool, data: bytes, sha256: str = SHA, size: int = len(DATA), upload_id: str = "u1") -> None:
    with spool.receive(upload_id, sha256, size) as incoming:
        for start in range(0, len(data), 1000):
            incoming.write(data[start : start + 1000])
        incoming.finish()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def age(folder: Path, seconds: float) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - seconds,) * 2)


def append(spool: Spool, offset: int, data: bytes, sha256: str = SHA, size: int = len(DATA)) -> int:
    return spool.append("u1", sha256, size, offset, data)


# The server's own bytes


def test_put_takes_bytes_or_pieces_and_is_idempotent(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.put(DATA) == spool.put([DATA[:10], memoryview(DATA)[10:]]) == SHA
    assert files(tmp_path) == [SHA]
    assert spool.used_bytes() == len(DATA)


def test_put_leaves_nothing_when_the_pieces_fail(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(ZeroDivisionError):
        spool.put(bytes(1 // (2 - i)) for i in range(3))
    assert files(tmp_path) == []
    assert spool.used_bytes() == 0


def test_an_empty_blob_is_a_blob(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.append("u1", sha(b""), 0, 0, b"") == 0
    assert spool.has(sha(b""))
    assert spool.put(b"") == sha(b"")


# Durability


def test_bytes_are_synced_before_the_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(fd: int) -> None:
        events.append("sync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        fsync(fd)

    def noted_replace(source: Path, target: Path) -> None:
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    stream(spool, DATA)
    events.append("answer")
    assert events == ["sync file", "sync folder", "rename", "sync folder", "answer"]


@pytest.mark.parametrize("call", ["append", "receive", "put"])
@pytest.mark.parametrize("survived", [0, 1, 2])
def test_a_crash_at_any_sync_leaves_a_whole_blob_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, survived: int
) -> None:
    spool = Spool(tmp_path)
    left = iter(range(survived))

    def crash(fd: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    bring = {"append": lambda: append(spool, 0, DATA), "receive": lambda: stream(spool, DATA)}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            bring.get(call, lambda: spool.put(DATA))()
    after = Spool(tmp_path)
    assert not after.has(SHA) or after.path(SHA).read_bytes() == DATA
    assert after.put(DATA) == SHA
    assert after.path(SHA).read_bytes() == DATA


# A full disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["append", "receive", "put"])
def test_a_full_disk_is_refused_and_leaves_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    spool = Spool(tmp_path)
    append(spool, 0, DATA[:100])
    write = os.write

    def fill_up(fd: int, data: memoryview) -> int:
        if len(data) < 500:
            raise OSError(number, os.strerror(number))
        return write(fd, data[:300])  # a disk that fills up takes a part first

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill_up)
        bring = {"append": lambda: append(spool, 100, DATA[100:]), "receive": lambda: stream(spool, DATA)}
        error = refused(ErrorCode.STORAGE_FULL, bring.get(call, lambda: spool.put(DATA)))
    assert "free space" in error.mend
    assert files(tmp_path) == ["u1.part"]
    assert spool.progress("u1") == spool.used_bytes() == 100
    assert append(spool, 100, DATA[100:]) == len(DATA)


def test_a_disk_that_turns_out_full_at_the_sync_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(ErrorCode.STORAGE_FULL, lambda: stream(spool, DATA))
    assert files(tmp_path) == []
    stream(spool, DATA)


def test_any_other_error_of_the_disk_stays_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)

    def broken(fd: int, data: memoryview) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(OSError, match="Input/output error"):
        stream(spool, DATA)
    assert spool.used_bytes() == 0


def test_a_partial_write_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    spool = Spool(tmp_path)
    assert spool.put(DATA) == SHA
    assert spool.path(SHA).read_bytes() == DATA


def test_a_quota_is_kept_by_every_lane_and_room_comes_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, quota_bytes=len(DATA) + 10)
    first = spool.put(b"0123456789!")
    error = refused(ErrorCode.STORAGE_FULL, lambda: spool.receive("u1", SHA, len(DATA)).__enter__())
    assert f"quota of {len(DATA) + 10} bytes" in error.problem
    refused(ErrorCode.STORAGE_FULL, lambda: append(spool, 0, DATA))
    refused(ErrorCode.STORAGE_FULL, lambda: spool.put(DATA))
    assert spool.used_bytes() == 11
    assert files(tmp_path) == [first]
    spool.remove(first)
    assert spool.used_bytes() == 0
    stream(spool, DATA)


def test_streams_that_only_together_exceed_the_quota_cannot_both_finish(tmp_path: Path) -> None:
    spool = Spool(tmp_path, quota_bytes=15)
    one, other = b"a" * 10, b"b" * 10
    with spool.receive("u1", sha(one), 10) as first, spool.receive("u2", sha(other), 10) as second:
        first.write(one)
        refused(ErrorCode.STORAGE_FULL, lambda: second.write(other))
        first.finish()
    assert files(tmp_path) == [sha(one)]
    assert spool.used_bytes() == 10


# Looking up, removing, sweeping


def test_a_blob_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert not spool.has(SHA)
    refused(ErrorCode.NOT_FOUND, lambda: spool.path(SHA))
    spool.remove(SHA)
    assert spool.progress("u1") == 0


HOSTILE = ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\0b", "a\n", "-a", "é", "a" * 129, "~", "a.part"]


@pytest.mark.parametrize("upload_id", HOSTILE)
def test_an_upload_id_is_never_a_path(tmp_path: Path, upload_id: str) -> None:
    spool = Spool(tmp_path / "spool")
    for call in (
        lambda: spool.receive(upload_id, SHA, 1),
        lambda: spool.append(upload_id, SHA, 1, 0, b"x"),
        lambda: spool.progress(upload_id),
    ):
        refused(ErrorCode.INVALID_ARGUMENT, call)
    assert files(tmp_path) == []


@pytest.mark.parametrize("sha256", [*HOSTILE, SHA.upper(), SHA + "\n", SHA[:-1], SHA + "0", "../" + SHA[3:]])
def test_a_hash_is_never_a_path(tmp_path: Path, sha256: str) -> None:
    spool = Spool(tmp_path / "spool")
    for call in (
        lambda: spool.receive("u1", sha256, 1),
        lambda: spool.append("u1", sha256, 1, 0, b"x"),
        lambda: spool.path(sha256),
        lambda: spool.has(sha256),
        lambda: spool.remove(sha256),
    ):
        refused(ErrorCode.INVALID_ARGUMENT, call)
    assert files(tmp_path) == []


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    refused(ErrorCode.INVALID_ARGUMENT, lambda: Spool(tmp_path).receive("u1", SHA, -1))


def test_a_sweep_removes_old_blobs_that_are_not_kept_and_old_parts(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    kept, dropped = spool.put(b"kept"), spool.put(b"dropped")
    append(spool, 0, DATA[:100])
    age(tmp_path, 7200)
    fresh = spool.put(b"fresh")
    spool.append("u2", SHA, len(DATA), 0, DATA[:10])
    assert spool.sweep({kept}) == 2
    assert not spool.has(dropped)
    assert files(tmp_path) == sorted([kept, fresh, "u2.part"])
    assert spool.used_bytes() == len(b"kept") + len(b"fresh") + 10
    assert spool.sweep({kept}, older_than_s=-60) == 2
    assert files(tmp_path) == [kept]


def test_a_sweep_spares_a_slow_stream_and_takes_what_a_crash_left(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "incoming" / "u0.abcdefgh.raw").write_bytes(b"left by a crash")
    spool = Spool(tmp_path)
    assert spool.used_bytes() == 15
    with spool.receive("u1", SHA, len(DATA)) as incoming:
        incoming.write(DATA)
        age(tmp_path, 7200)
        assert spool.sweep(set()) == 1
        incoming.finish()
    assert files(tmp_path) == [SHA]
    assert spool.used_bytes() == len(DATA)


def test_a_blob_that_comes_again_is_as_fresh_as_a_new_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(DATA)
    age(tmp_path, 7200)
    stream(spool, DATA)
    assert spool.sweep(set()) == 0
    assert spool.has(SHA)


def test_files_that_are_none_of_the_spools_are_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    strange = tmp_path / "blobs" / "ab" / "README"
    strange.parent.mkdir()
    strange.write_text("hello")
    assert spool.sweep(set(), older_than_s=-60) == 0
    assert Spool(tmp_path).used_bytes() == 0


def test_a_removed_blob_stays_readable_for_who_has_it_open(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.path(spool.put(DATA)).open("rb") as file:
        spool.remove(SHA)
        assert file.read() == DATA
    assert files(tmp_path) == []
    assert spool.used_bytes() == 0
