"""The two ways in: one stream, or chunks that resume."""

from __future__ import annotations

import hashlib
import os
import threading
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
    """Names of the files that hold bytes of an upload."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".done")


def append(spool: Spool, offset: int, data: bytes, sha256: str = SHA, size: int = len(DATA)) -> int:
    return spool.append("u1", sha256, size, offset, data)


# One stream


def test_a_stream_becomes_a_blob_named_by_its_hash(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    stream(spool, DATA)
    assert spool.path(SHA) == tmp_path / "blobs" / SHA[:2] / SHA
    assert spool.path(SHA).read_bytes() == DATA
    assert spool.used_bytes() == len(DATA)
    assert files(tmp_path) == [SHA]


def test_a_blob_cannot_be_seen_before_finish(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.receive("u1", SHA, len(DATA)) as incoming:
        incoming.write(DATA)
        assert not spool.has(SHA)
        incoming.finish()
        assert spool.has(SHA)


def test_leaving_without_finish_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.receive("u1", SHA, len(DATA)) as incoming:
        incoming.write(DATA)
        assert spool.used_bytes() == len(DATA)
    assert files(tmp_path) == []
    assert spool.used_bytes() == 0


def test_a_connection_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    incoming = spool.receive("u1", SHA, len(DATA))

    def body() -> None:
        with incoming:
            incoming.write(DATA[:5])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        body()
    assert files(tmp_path) == []


def test_a_stream_past_its_size_is_refused_at_the_first_byte_too_many(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.receive("u1", SHA, 4) as incoming:
        incoming.write(b"1234")
        refused(ErrorCode.TOO_LARGE, lambda: incoming.write(b"5"))
    assert files(tmp_path) == []


def test_a_stream_short_of_its_size_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    error = refused(ErrorCode.UPLOAD_INCOMPLETE, lambda: stream(spool, DATA[:-1]))
    assert f"{len(DATA) - 1} of {len(DATA)} bytes" in error.problem
    assert files(tmp_path) == []


def test_a_stream_with_another_hash_is_refused_and_names_what_came(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    other = b"\1" + DATA[1:]
    error = refused(ErrorCode.HASH_MISMATCH, lambda: stream(spool, other))
    assert sha(other) in error.problem
    assert files(tmp_path) == []


def test_the_same_stream_again_changes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    stream(spool, DATA)
    stream(spool, DATA)
    assert files(tmp_path) == [SHA]
    assert spool.used_bytes() == len(DATA)


def test_two_streams_of_one_upload_do_not_mix(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.receive("u1", SHA, len(DATA)) as one, spool.receive("u1", SHA, len(DATA)) as other:
        for start in range(0, len(DATA), 512):
            one.write(DATA[start : start + 512])
            other.write(b"x" * 512)
        refused(ErrorCode.HASH_MISMATCH, other.finish)
        one.finish()
    assert spool.path(SHA).read_bytes() == DATA


def test_writing_after_finish_is_an_error(tmp_path: Path) -> None:
    with Spool(tmp_path).receive("u1", sha(b""), 0) as incoming:
        incoming.finish()
        with pytest.raises(ValueError, match="closed"):
            incoming.write(b"")


def test_threads_may_bring_the_same_and_other_blobs_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    blobs = [bytes([i]) * 50_000 for i in range(4)]
    start, errors = threading.Barrier(8), []

    def bring(data: bytes, upload_id: str) -> None:
        start.wait()
        try:
            for _ in range(5):
                stream(spool, data, sha(data), len(data), upload_id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=bring, args=(blobs[i % 4], f"u{i % 2}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert files(tmp_path) == sorted(map(sha, blobs))
    assert spool.used_bytes() == 200_000


# By chunks


def test_chunks_become_a_blob_with_the_last_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert append(spool, 0, DATA[:6000]) == 6000
    assert spool.progress("u1") == 6000
    assert not spool.has(SHA)
    assert append(spool, 6000, DATA[6000:]) == len(DATA)
    assert spool.path(SHA).read_bytes() == DATA
    assert files(tmp_path) == [SHA]
    assert spool.progress("u1") == 0
    assert spool.used_bytes() == len(DATA)


def test_an_upload_goes_on_after_a_restart(tmp_path: Path) -> None:
    append(Spool(tmp_path), 0, DATA[:6000])
    after = Spool(tmp_path)
    assert after.progress("u1") == 6000
    assert after.used_bytes() == 6000
    assert append(after, 6000, DATA[6000:]) == len(DATA)
    assert after.path(SHA).read_bytes() == DATA


def test_a_repeated_chunk_changes_nothing_and_gives_the_same_answer(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert append(spool, 0, DATA[:6000]) == append(spool, 0, DATA[:6000]) == 6000
    assert append(spool, 1000, DATA[1000:2000]) == 6000
    assert append(spool, 6000, DATA[6000:]) == append(spool, 6000, DATA[6000:]) == len(DATA)
    assert spool.used_bytes() == len(DATA)


def test_a_chunk_that_overlaps_is_taken_from_where_it_is_new(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    append(spool, 0, DATA[:6000])
    assert append(spool, 5000, DATA[5000:]) == len(DATA)
    assert spool.path(SHA).read_bytes() == DATA


def test_a_gap_is_refused_with_the_offset_to_resume_at(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert refused(ErrorCode.OFFSET_GAP, lambda: append(spool, 1, DATA[1:2])).mend == "resume at offset 0"
    append(spool, 0, DATA[:6000])
    assert refused(ErrorCode.OFFSET_GAP, lambda: append(spool, 6001, b"x")).mend == "resume at offset 6000"
    assert spool.progress("u1") == 6000


def test_an_overlap_of_other_bytes_is_refused_and_leaves_what_was_there(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    append(spool, 0, DATA[:6000])
    refused(ErrorCode.UPLOAD_CONFLICT, lambda: append(spool, 5999, b"??"))
    assert append(spool, 6000, DATA[6000:]) == len(DATA)
    refused(ErrorCode.UPLOAD_CONFLICT, lambda: append(spool, 0, b"?"))
    assert spool.path(SHA).read_bytes() == DATA


def test_an_upload_that_was_begun_with_another_size_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    append(spool, 0, DATA[:6000])
    refused(ErrorCode.UPLOAD_CONFLICT, lambda: append(spool, 0, DATA[:10], size=100))
    append(spool, 6000, DATA[6000:])
    refused(ErrorCode.UPLOAD_CONFLICT, lambda: append(spool, 0, DATA[:10], size=100))


@pytest.mark.parametrize(("offset", "data"), [(0, DATA + b"x"), (len(DATA), b"x"), (len(DATA) + 1, b""), (-1, b"")])
def test_a_chunk_outside_of_the_upload_is_refused(tmp_path: Path, offset: int, data: bytes) -> None:
    refused(ErrorCode.TOO_LARGE, lambda: append(Spool(tmp_path), offset, data))
    assert files(tmp_path) == []


def test_chunks_with_another_hash_are_refused_and_start_anew(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    append(spool, 0, b"?" * 6000)
    assert "offset 0" in refused(ErrorCode.HASH_MISMATCH, lambda: append(spool, 6000, DATA[6000:])).mend
    assert files(tmp_path) == []
    assert spool.used_bytes() == spool.progress("u1") == 0
    assert append(spool, 0, DATA) == len(DATA)


def test_a_blob_that_another_upload_brought_completes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    stream(spool, DATA)
    assert append(spool, 0, b"") == 0
    assert append(spool, 0, DATA[:6000]) == 6000
    assert append(spool, 6000, DATA[6000:]) == len(DATA)
    assert files(tmp_path) == [SHA]
    assert spool.used_bytes() == len(DATA)


def test_a_crash_before_the_rename_is_mended_by_the_last_chunk_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        spool = Spool(tmp_path)
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            append(spool, 0, DATA)
    after = Spool(tmp_path)
    assert after.progress("u1") == len(DATA)
    assert not after.has(SHA)
    assert append(after, len(DATA) - 1, DATA[-1:]) == len(DATA)
    assert files(tmp_path) == [SHA]
    assert after.used_bytes() == len(DATA)


def test_two_threads_that_append_the_same_chunks_agree(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    start, errors = threading.Barrier(4), []

    def bring() -> None:
        start.wait()
        try:
            for offset in range(0, len(DATA), 1024):
                append(spool, offset, DATA[offset : offset + 1024])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert spool.path(SHA).read_bytes() == DATA
    assert spool.used_bytes() == len(DATA)
