"""Signed tickets for the raw lane: what they allow, for whom, and until when."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from itsdangerous import BadSignature, URLSafeSerializer

from federation.clock import Clock
from federation.errors import ErrorCode, Refused
from federation.server_key import ServerKey

_DAY_S = 86_400


@dataclass(frozen=True)
class UploadTicket:
    """Leave to send exactly these bytes, once, for this upload."""

    upload_id: str
    node_id: str
    sha256: str
    size: int
    expires_at: int


@dataclass(frozen=True)
class BlobTicket:
    """Leave to fetch a task's blob on the day it was issued and on the next (the same all day, so caches work)."""

    sha256: str
    task_id: str
    day: int


class Lanes:
    """Issues and checks tickets. Nothing is stored: a ticket is its own proof."""

    def __init__(self, key: ServerKey, clock: Clock) -> None:
        self._clock = clock
        self._up = URLSafeSerializer(key.derive("upload-url"), salt="upload")
        self._down = URLSafeSerializer(key.derive("blob-url"), salt="blob")

    def upload_url(self, ticket: UploadTicket) -> str:
        """The URL of an upload, relative to the base that the client used."""
        return f"raw/uploads/{self._up.dumps(asdict(ticket))}"

    def blob_url(self, sha256: str, task_id: str) -> str:
        """The URL of a model version or an export, relative to the base that the client used."""
        return f"raw/blobs/{self._down.dumps(asdict(BlobTicket(sha256, task_id, self._today())))}"

    def open_upload(self, text: str) -> UploadTicket:
        """The ticket in an upload URL; refused when forged. Its end is for the caller to judge."""
        try:
            return UploadTicket(**self._up.loads(text))
        except (BadSignature, TypeError):
            raise Refused(
                ErrorCode.BAD_SIGNATURE, "this upload URL was not issued by this server.", "ask begin_upload for one"
            ) from None

    def open_blob(self, text: str) -> BlobTicket:
        """The ticket in a download URL; refused when forged or stale."""
        try:
            ticket = BlobTicket(**self._down.loads(text))
        except (BadSignature, TypeError):
            raise Refused(
                ErrorCode.BAD_SIGNATURE,
                "this download URL was not issued by this server.",
                "take the url from get_assignment, get_task or export_model",
            ) from None
        if not 0 <= self._today() - ticket.day <= 1:
            raise Refused(
                ErrorCode.UPLOAD_GONE,
                "this download URL has expired.",
                "ask again for the assignment or the export: it carries a new url",
            )
        return ticket

    def _today(self) -> int:
        return int(self._clock() // _DAY_S)
