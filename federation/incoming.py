"""An upload in one stream: hashed while it is written, a blob when it is whole, nothing if it is not."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from federation.errors import ErrorCode, Refused
from federation.part import Part


class Incoming:
    """A context manager that leaves a blob if `finish` was reached, and no trace if not.

    Several may bring the same upload at once: each writes a file of its own, and whichever is whole is kept.
    """

    def __init__(self, open_part: Callable[[], Part], keep: Callable[[Part], None], sha256: str, size: int) -> None:
        self._open_part = open_part
        self._keep = keep
        self._sha256 = sha256
        self._size = size
        self._part: Part

    def __enter__(self) -> Self:
        self._part = self._open_part()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._part.discard()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append; refuses (too_large) what goes past the stated size."""
        if self._part.size + memoryview(chunk).nbytes > self._size:
            raise too_large(self._size)
        self._part.write(chunk)

    def finish(self) -> None:
        """Make it a blob, durable when this returns; refuses upload_incomplete and hash_mismatch."""
        if self._part.size < self._size:
            raise Refused(
                ErrorCode.UPLOAD_INCOMPLETE,
                f"{self._part.size} of {self._size} bytes arrived.",
                "send all bytes again, or send them by upload_chunk, which resumes",
            )
        if self._part.sha256 != self._sha256:
            raise hash_mismatch(self._part.sha256, self._sha256)
        self._keep(self._part)


def too_large(size: int) -> Refused:
    """The refusal of bytes past the stated size."""
    return Refused(
        ErrorCode.TOO_LARGE, f"the bytes go past the {size} that were announced.", "begin an upload of the right size"
    )


def hash_mismatch(found: str, stated: str) -> Refused:
    """The refusal of bytes that are not those that were announced."""
    return Refused(
        ErrorCode.HASH_MISMATCH,
        f"the bytes have SHA-256 {found}, not {stated}.",
        "send the whole file again from offset 0; if it has changed since, begin a new upload",
    )
