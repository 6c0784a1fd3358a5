"""The bytes of updates: announced, received by either lane, and kept until they are committed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.admission import check_few, check_not_submitted, check_open_assignment
from federation.coordinator.ports import Shared
from federation.coordinator.records import get_round, is_referenced
from federation.coordinator.standing import Standing
from federation.coordinator.traffic import Traffic
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.incoming import Incoming
from federation.lanes import UploadTicket
from federation.rounds import RoundState
from federation.store.tables import updates, uploads
from federation.weights import AUX, aux_layout, layout_bytes, read_layout

_MOST_AT_ONCE = 4
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Upload:
    """An announced upload and how much of it is there."""

    upload_id: str
    node_id: str
    task_id: str
    round: int
    base_version: int
    sha256: str
    size: int
    received: bool
    expires_at: float


class Uploads:
    """Announces and receives uploads. An upload's id follows from what it announces, so announcing is repeatable."""

    def __init__(self, shared: Shared, traffic: Traffic) -> None:
        self._shared = shared
        self._traffic = traffic
        self._receiving: Counter[str] = Counter()

    async def begin(
        self, node_id: str, task_id: str, *, number: int, base_version: int, sha256: str, size: int
    ) -> tuple[Upload, int, str]:
        """The upload, the offset at which the in-band lane goes on, and its URL on the raw lane."""
        if not _SHA256.fullmatch(sha256):
            raise Refused(
                ErrorCode.INVALID_ARGUMENT, "sha256 is not 64 lower-case hex digits.", "send the SHA-256 of the file"
            )
        upload_id = _upload_id(node_id, task_id, number, base_version, sha256, size)
        async with self._shared.database.read() as connection:
            known = await _find(connection, upload_id)
            if known is not None and await _is_committed(connection, upload_id):
                return self._answer(known, size)
            standing = await check_open_assignment(connection, task_id, number, node_id, base_version)
            check_not_submitted(standing, node_id, number)
            largest = await asyncio.to_thread(self._check_size, standing, size)
        now = self._shared.clock()
        expires_at = now + self._shared.limits.upload_lifetime_s
        key = {"node_id": node_id, "task_id": task_id, "round": number, "base_version": base_version}

        async def work(connection: AsyncConnection) -> Upload:
            upload = await _find(connection, upload_id)
            if upload is None:
                await self._free_expired(connection, key, now)
                await check_few(connection, key, size, largest, self._share())
                values = {"upload_id": upload_id, "sha256": sha256, "size": size, "received": False}
                await connection.execute(insert(uploads).values(key | values | {"expires_at": expires_at}))
                return await _get(connection, upload_id)
            if upload.expires_at > now:
                return upload
            renewed = update(uploads).where(uploads.c.upload_id == upload_id).values(expires_at=expires_at)
            await connection.execute(renewed)
            return replace(upload, expires_at=expires_at)

        upload = await self._shared.database.write(work)
        reach("upload_announced")
        done = upload.received and self._shared.spool.has(sha256)
        offset = size if done else await asyncio.to_thread(self._shared.spool.progress, upload_id)
        return self._answer(upload, offset)

    async def admit(self, ticket: UploadTicket) -> tuple[Upload, Incoming]:
        """Opens the raw lane for a ticket. `finish` has to follow once the bytes are in."""
        async with self._shared.database.read() as connection:
            upload = await _get(connection, ticket.upload_id)
            if await _is_committed(connection, upload.upload_id):
                raise Refused(
                    ErrorCode.UPLOAD_GONE,
                    "this upload has been committed; its URL is used up.",
                    "repeat submit_update to get the receipt again",
                )
            await _check_wanted(connection, upload)
        if min(ticket.expires_at, upload.expires_at) <= self._shared.clock():
            raise Refused(ErrorCode.UPLOAD_GONE, "this upload URL has expired.", "call begin_upload for a new one")
        return upload, self._shared.spool.receive(upload.upload_id, upload.sha256, upload.size)

    @contextmanager
    def receiving(self, upload: Upload) -> Iterator[None]:
        """While bytes come by the raw lane. Each request writes a file of its own, so a node may have only a few."""
        mine = (upload.upload_id, upload.node_id)
        if self._receiving[upload.upload_id] >= _MOST_AT_ONCE or self._receiving[upload.node_id] >= 2 * _MOST_AT_ONCE:
            raise Refused(
                ErrorCode.RATE_LIMITED,
                f"this upload is being sent {self._receiving[upload.upload_id]} times at once already.",
                "wait for one of these requests to end",
                retry_after_s=5,
            )
        self._receiving.update(mine)
        try:
            yield
        finally:
            self._receiving -= Counter(mine)

    async def finish(self, upload: Upload) -> None:
        """Records that an upload's bytes are durable; refused, and they are removed, if its round has ended."""

        async def work(connection: AsyncConnection) -> None:
            try:
                await _check_wanted(connection, upload)
            except Refused:
                if not await is_referenced(connection, upload.sha256):
                    await asyncio.to_thread(self._shared.spool.remove, upload.sha256)
                raise
            await connection.execute(
                update(uploads).where(uploads.c.upload_id == upload.upload_id).values(received=True)
            )
            reach("received_written")

        await self._shared.database.write(work)
        reach("upload_received")

    async def chunk(self, node_id: str, upload_id: str, offset: int, data_b64: str) -> tuple[int, bool]:
        """Takes one piece by the in-band lane; answers the next offset and whether all is there."""
        async with self._shared.database.read() as connection:
            upload = await _get(connection, upload_id)
            if upload.node_id != node_id:
                raise _unknown(upload_id)
            if await _is_committed(connection, upload_id):
                raise Refused(
                    ErrorCode.UPLOAD_GONE, "this upload has been committed.", "repeat submit_update to get the receipt"
                )
            await _check_wanted(connection, upload)
        if upload.expires_at <= self._shared.clock():
            raise Refused(ErrorCode.UPLOAD_GONE, "this upload has expired.", "call begin_upload again")
        if upload.received and self._shared.spool.has(upload.sha256):
            return upload.size, True
        limit = self._shared.limits.chunk_max_bytes
        data = await asyncio.to_thread(decode_base64, data_b64, limit, "data_b64")
        self._traffic.received("in-band", len(data))
        after = await asyncio.to_thread(self._shared.spool.append, upload_id, upload.sha256, upload.size, offset, data)
        if after == upload.size:
            await self.finish(upload)
        return after, after == upload.size

    async def take(self, node_id: str, task_id: str, number: int, base_version: int, upload_id: str) -> Upload:
        """The complete upload that `submit_update` names, if it was announced for just this update."""
        async with self._shared.database.read() as connection:
            upload = await _get(connection, upload_id)
        if upload.node_id != node_id:
            raise _unknown(upload_id)
        if (upload.task_id, upload.round, upload.base_version) != (task_id, number, base_version):
            raise Refused(
                ErrorCode.FORBIDDEN,
                f"upload {upload_id} was announced for another task, round or version.",
                "call begin_upload for this update and use the id that it answers",
            )
        if not (upload.received and self._shared.spool.has(upload.sha256)):
            offset = await asyncio.to_thread(self._shared.spool.progress, upload_id)
            raise _incomplete(upload, offset)
        return upload

    async def hold(
        self, node_id: str, task_id: str, number: int, base_version: int, sha256: str, data: bytes
    ) -> Upload:
        """A small update that came within `submit_update` itself, put where uploads go."""
        upload, _, _ = await self.begin(
            node_id, task_id, number=number, base_version=base_version, sha256=sha256, size=len(data)
        )
        self._traffic.received("in-band", len(data))
        await asyncio.to_thread(self._shared.spool.put, data)
        await self.finish(upload)
        return upload

    async def check_still_there(self, connection: AsyncConnection, upload: Upload) -> None:
        """Refuses, within the transaction that commits it, an upload whose bytes a refused twin has taken along."""
        received = await connection.scalar(select(uploads.c.received).where(uploads.c.upload_id == upload.upload_id))
        if not (received and self._shared.spool.has(upload.sha256)):
            raise _incomplete(upload, 0)

    async def discard(self, upload: Upload) -> None:
        """Forgets the bytes of an upload that was refused, unless others share them."""

        async def work(connection: AsyncConnection) -> None:
            mine = uploads.c.upload_id == upload.upload_id
            await connection.execute(update(uploads).where(mine).values(received=False, expires_at=0))
            await asyncio.to_thread(self._shared.spool.forget, upload.upload_id)
            if not await is_referenced(connection, upload.sha256):
                await asyncio.to_thread(self._shared.spool.remove, upload.sha256)

        await self._shared.database.write(work)

    def _answer(self, upload: Upload, offset: int) -> tuple[Upload, int, str]:
        ticket = UploadTicket(upload.upload_id, upload.node_id, upload.sha256, upload.size, int(upload.expires_at))
        return upload, offset, self._shared.lanes.upload_url(ticket)

    async def _free_expired(self, connection: AsyncConnection, key: dict[str, object], now: float) -> None:
        """Forgets what the node announced for this round and left lying, so that it takes no room beside the new."""
        mine = [uploads.c[name] == value for name, value in key.items()]
        committed = select(updates.c.upload_id).where(updates.c.node_id == key["node_id"])
        left = (uploads.c.expires_at > 0) & (uploads.c.expires_at <= now) & uploads.c.upload_id.not_in(committed)
        rows = (await connection.execute(select(uploads.c.upload_id, uploads.c.sha256).where(*mine, left))).all()
        for row in rows:
            forgotten = {"received": False, "expires_at": 0}
            await connection.execute(update(uploads).where(uploads.c.upload_id == row.upload_id).values(forgotten))
            await asyncio.to_thread(self._shared.spool.forget, row.upload_id)
            if not await is_referenced(connection, row.sha256):
                await asyncio.to_thread(self._shared.spool.remove, row.sha256)

    def _share(self) -> float | None:
        quota = self._shared.spool.quota_bytes
        return None if quota is None else quota * self._shared.limits.node_quota_share

    def _check_size(self, standing: Standing, size: int) -> int:
        """The largest size allowed; refused when `size` is larger."""
        largest = standing.model.size + self._shared.limits.header_allowance
        aggregation, second = standing.task.spec.aggregation, ""
        if aggregation.control_variates:
            largest += layout_bytes(aux_layout(read_layout(self._shared.spool.path(standing.model.sha256))))
            second = f", and as {AUX}<name> in float32"
        if not 0 < size <= largest:
            raise Refused(
                ErrorCode.TOO_LARGE,
                f"an update of {size} bytes cannot fit this model: 1..{largest} bytes are allowed.",
                f"send one safetensors file with the model's tensors as delta/<name>, in their own dtype{second}",
            )
        return largest


async def _find(connection: AsyncConnection, upload_id: str) -> Upload | None:
    row = (await connection.execute(select(uploads).where(uploads.c.upload_id == upload_id))).mappings().first()
    return None if row is None else Upload(**row)


async def _get(connection: AsyncConnection, upload_id: str) -> Upload:
    upload = await _find(connection, upload_id)
    if upload is None:
        raise _unknown(upload_id)
    return upload


async def _is_committed(connection: AsyncConnection, upload_id: str) -> bool:
    found = await connection.scalar(select(updates.c.update_id).where(updates.c.upload_id == upload_id))
    return found is not None


async def _check_wanted(connection: AsyncConnection, upload: Upload) -> None:
    current = await get_round(connection, upload.task_id, upload.round)
    if current.state is not RoundState.COLLECTING:
        raise Refused(
            ErrorCode.UPLOAD_GONE,
            f"round {upload.round} is {current.state}; its uploads are no longer taken.",
            "call get_assignment for the next round",
        )


def decode_base64(text: str, limit: int, field: str) -> bytes:
    """At most `limit` bytes of standard base64; refused otherwise. Slow for megabytes: call it in a thread."""
    too_large = Refused(
        ErrorCode.TOO_LARGE, f"{field} holds more than {limit} bytes.", "send pieces of the size that handshake allows"
    )
    if len(text) > (limit + 2) // 3 * 4:
        raise too_large
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT, f"{field} is not base64: {error}.", "use standard base64 with padding"
        ) from None
    if len(data) > limit:
        raise too_large
    return data


def _unknown(upload_id: str) -> Refused:
    """Said of another node's upload as well: an id follows from what is announced, so "not yours" would confirm it."""
    return Refused(ErrorCode.NOT_FOUND, f"this node has no upload {upload_id!r}.", "use the id from begin_upload")


def _incomplete(upload: Upload, offset: int) -> Refused:
    return Refused(
        ErrorCode.UPLOAD_INCOMPLETE,
        f"upload {upload.upload_id} is incomplete: {offset} of {upload.size} bytes came in-band.",
        "PUT all bytes to its URL, or go on with upload_chunk at that offset",
    )


def _upload_id(node_id: str, task_id: str, number: int, base_version: int, sha256: str, size: int) -> str:
    text = "\n".join(map(str, (node_id, task_id, number, base_version, sha256, size)))
    return "up-" + base64.b32encode(hashlib.sha256(text.encode()).digest()[:15]).decode().lower()
