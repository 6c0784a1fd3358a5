"""Bytes at rest: blobs that are named by their SHA-256, and the files on their way to become one.

A blob is there whole or not at all: it is written aside, hashed, synced, renamed into `blobs/ab/<sha256>`, and the
folder is synced before anyone hears of it. A file in `incoming` is nobody's promise; after a crash it is either
resumed or swept. One process owns a spool; its threads may share it.

    blobs/ab/<sha256>            content-addressed, immutable
    incoming/<upload_id>.part    an upload by chunks: the file itself says how far it has come
    incoming/<upload_id>.done    it has become a blob
    incoming/<name>.<random>.raw an upload in one stream, or the server's own bytes
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.incoming import Incoming, hash_mismatch, too_large
from federation.part import Part, Room, refusing_when_full, sync_folder, write_all

__all__ = ["Incoming", "Spool"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UPLOAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class Spool:
    """Content-addressed files in a folder.

    Args:
        folder: made if it is not there.
        quota_bytes: the most that blobs and incoming files may take together; None for no bound but the disk's.

    A disk or quota that is full is refused (storage_full); so is any hash or id that could be a path.
    """

    def __init__(self, folder: Path, quota_bytes: int | None = None) -> None:
        self._blobs = folder / "blobs"
        self._incoming = folder / "incoming"
        with refusing_when_full():
            self._blobs.mkdir(parents=True, exist_ok=True)
            self._incoming.mkdir(exist_ok=True)
            for made in (folder, self._blobs):
                sync_folder(made)
        used = sum(path.stat().st_size for path in [*self._all_blobs(), *self._incoming.iterdir()])
        self._room = Room(used, quota_bytes)
        self._moving = threading.Lock()
        self._appending = [threading.Lock() for _ in range(64)]
        self._live: set[Path] = set()

    def receive(self, upload_id: str, sha256: str, size: int) -> Incoming:
        """One upload in one stream; use it in a `with` statement, then `write` chunks and `finish`."""
        _check_ids(upload_id, sha256)
        _check_size(size)
        return Incoming(lambda: self._open_part(upload_id, size), self._keep, sha256, size)

    def append(self, upload_id: str, sha256: str, size: int, offset: int, data: bytes) -> int:
        """One chunk of an upload; returns the offset of the next one, which is `size` once the blob is there.

        Repeating a chunk changes nothing. Refuses a chunk past `size` (too_large), one beyond what has arrived
        (offset_gap, naming where to resume), one that contradicts what has arrived (upload_conflict), and a whole
        that has another SHA-256 (hash_mismatch; the upload then starts anew at 0). A blob that came by another upload
        completes nothing here: who names a hash still has to bring the bytes.
        """
        _check_ids(upload_id, sha256)
        _check_size(size)
        if offset < 0 or offset + len(data) > size:
            raise too_large(size)
        with self._lock_of(upload_id), refusing_when_full():
            if self._done(upload_id).exists() and self.has(sha256):
                _check_overlap(self._blob(sha256), size, offset, data)
                return size
            part = self._part(upload_id)
            there = self.progress(upload_id)
            if offset > there:
                raise Refused(
                    ErrorCode.OFFSET_GAP,
                    f"a chunk at offset {offset} leaves a gap: {there} bytes have arrived.",
                    f"resume at offset {there}",
                )
            if there:
                _check_overlap(part, size, offset, data)
            there = self._extend(part, there, data[there - offset :])
            if there == size:
                self._complete(part, sha256)
                self._done(upload_id).touch()
                reach("chunks_complete")
            return there

    def progress(self, upload_id: str) -> int:
        """Bytes of an upload by chunks that have arrived; 0 once it has become a blob."""
        try:
            return self._part(upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    def put(self, data: bytes | Iterable[bytes | memoryview]) -> str:
        """Store the server's own bytes, whole or in pieces; returns their SHA-256 once they are durable."""
        part = self._open_part("put", 0)
        try:
            for chunk in (data,) if isinstance(data, bytes) else data:
                part.write(chunk)
            self._keep(part)
        finally:
            part.discard()
        return part.sha256

    def path(self, sha256: str) -> Path:
        """Where the blob lies; refuses (not_found) one that is not here."""
        blob = self._blob(sha256)
        if not blob.is_file():
            raise Refused(ErrorCode.NOT_FOUND, f"there is no blob {sha256}.", "upload it; it may have been swept")
        return blob

    def has(self, sha256: str) -> bool:
        """Whether the blob is here, whole."""
        return self._blob(sha256).is_file()

    def remove(self, sha256: str) -> None:
        """Remove the blob, if it is here. Whoever has it mapped keeps it until they let go."""
        with self._moving:
            self._unlink(self._blob(sha256))

    def forget(self, upload_id: str) -> None:
        """Remove what is left of an upload by chunks: its part, and the word that it was completed."""
        with self._lock_of(upload_id):
            self._unlink(self._part(upload_id))
            self._unlink(self._done(upload_id))

    def sweep(
        self, keep: set[str], *, keep_uploads: frozenset[str] = frozenset(), older_than_s: float | None = 3600
    ) -> int:
        """Remove blobs that are not in `keep` and uploads that were left behind; returns how many files.

        Args:
            keep: hashes of blobs.
            keep_uploads: uploads by chunks that may still be resumed.
            older_than_s: what was written in the last so many seconds stays, since it may be on its way to being
                kept; None when nothing can be on its way.
        """
        horizon = float("inf") if older_than_s is None else time.time() - older_than_s
        swept = 0
        for blob in self._all_blobs():
            with self._moving:
                swept += blob.name not in keep and self._unlink(blob, horizon)
        for left in [found for kind in ("part", "done", "raw") for found in self._incoming.glob(f"*.{kind}")]:
            with self._lock_of(left.stem):
                wanted = left in self._live or (left.suffix != ".raw" and left.stem in keep_uploads)
                swept += not wanted and self._unlink(left, horizon)
        return swept

    @property
    def quota_bytes(self) -> int | None:
        """The most that blobs and incoming files may take; None: what the disk holds."""
        return self._room.quota_bytes

    def used_bytes(self) -> int:
        """Bytes of all blobs and incoming files."""
        return self._room.used

    def _all_blobs(self) -> Iterator[Path]:
        return (path for path in self._blobs.glob("??/*") if _SHA256.fullmatch(path.name))

    def _blob(self, sha256: str) -> Path:
        _check_sha256(sha256)
        return self._blobs / sha256[:2] / sha256

    def _part(self, upload_id: str) -> Path:
        _check_upload_id(upload_id)
        return self._incoming / f"{upload_id}.part"

    def _done(self, upload_id: str) -> Path:
        return self._part(upload_id).with_suffix(".done")

    def _lock_of(self, upload_id: str) -> threading.Lock:
        return self._appending[crc32(upload_id.encode()) % len(self._appending)]

    def _open_part(self, prefix: str, size: int) -> Part:
        self._room.check(size)
        with refusing_when_full():
            return Part(self._incoming, prefix, self._room, self._live)

    def _keep(self, part: Part) -> None:
        with refusing_when_full():
            self._name(part.path, part.fd, part.sha256)
            part.keep()
            self._sync_name(part.sha256)

    def _extend(self, part: Path, there: int, data: bytes) -> int:
        """Append to a part, all of `data` or nothing; returns the new size."""
        self._room.take(len(data))
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, data)
            reach("chunk_appended")
        except BaseException:
            os.ftruncate(fd, there)
            self._room.give_back(len(data))
            raise
        finally:
            os.close(fd)
        return there + len(data)

    def _complete(self, part: Path, sha256: str) -> None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                self._unlink(part)
                raise hash_mismatch(found, sha256)
            self._name(part, file.fileno(), sha256)
            self._sync_name(sha256)

    def _name(self, part: Path, fd: int, sha256: str) -> None:
        """Sync the file, then give it its name, which `_sync_name` has to sync in turn."""
        blob = self._blob(sha256)
        os.fsync(fd)
        reach("part_synced")
        with self._moving:
            if not blob.parent.is_dir():
                blob.parent.mkdir()
                sync_folder(self._blobs)
            twin = blob.stat().st_size if blob.is_file() else 0
            part.replace(blob)
            self._room.give_back(twin)
        reach("part_renamed")

    def _sync_name(self, sha256: str) -> None:
        sync_folder(self._blob(sha256).parent)
        reach("folder_synced")

    def _unlink(self, path: Path, horizon: float = float("inf")) -> bool:
        """Remove a file last written before `horizon`, and count its bytes out."""
        try:
            found = path.stat()
            if found.st_mtime > horizon:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        self._room.give_back(found.st_size)
        return True


def _check_ids(upload_id: str, sha256: str) -> None:
    _check_upload_id(upload_id)
    _check_sha256(sha256)


def _check_upload_id(upload_id: str) -> None:
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise Refused(ErrorCode.INVALID_ARGUMENT, "upload_id is malformed.", "use the one that begin_upload gave")


def _check_sha256(sha256: str) -> None:
    if not _SHA256.fullmatch(sha256):
        raise Refused(ErrorCode.INVALID_ARGUMENT, "sha256 is malformed.", "send 64 lowercase hexadecimal digits")


def _check_size(size: int) -> None:
    if size < 0:
        raise Refused(ErrorCode.INVALID_ARGUMENT, "size is negative.", "send the number of bytes")


def _check_overlap(path: Path, size: int, offset: int, data: bytes) -> None:
    """Refuses a chunk that contradicts the bytes that are there already, or an upload that was begun as another."""
    with path.open("rb") as file:
        there = os.fstat(file.fileno()).st_size
        file.seek(offset)
        seen = file.read(max(0, min(len(data), there - offset)))
    if there > size or data[: len(seen)] != seen:
        raise Refused(
            ErrorCode.UPLOAD_CONFLICT,
            f"the chunk at offset {offset} differs from the bytes that have arrived.",
            "begin a new upload for other bytes",
        )
