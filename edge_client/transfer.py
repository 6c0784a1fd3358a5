"""Models down and updates up: over the raw HTTP lane, or in chunks through MCP where only MCP gets through."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx2

from edge_client.answers import LATER, Lost, meaning_of_status, refusal_in
from edge_client.connection import Connection, delays
from edge_client.patience import Patience
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.part import FULL

Lane = Literal["auto", "inband"]
Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
ATTEMPTS = 3
"""Tries on the raw lane before a transfer goes in-band."""
PIECE = 1 << 20
"""Bytes of an update that are handed to the network at a time: no second copy of it waits in a buffer, and a slow line
has the write timeout for each of them, not for all."""


class NoLane(Exception):
    """Whoever answered on the raw lane was not Potluck: a proxy that only lets MCP through, say."""


class Lanes:
    """Moves bytes and counts them.

    Args:
        connection: for reading blobs in-band.
        call: calls a node tool with the node's id and token.
        http: a client for the raw lane, None to go in-band at once.
        base: what the server's relative URLs are relative to.
        chunk_max_bytes: the most that one chunk may carry before base64.
        patience_s: how long one transfer waits for a server that says "later", in seconds; None: for ever.
        sleep: replaced in tests.
    """

    def __init__(
        self,
        connection: Connection,
        call: Call,
        http: httpx2.AsyncClient | None,
        base: str,
        *,
        chunk_max_bytes: int,
        patience_s: float | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._call = call
        self._http = http
        self._base = base
        self._chunk = chunk_max_bytes
        self._patience_s = patience_s
        self._sleep = sleep
        self._failures = 0
        self.bytes_up = 0
        self.bytes_down = 0

    @property
    def raw(self) -> bool:
        """Whether the raw lane is still worth a try: two transfers in a row that had to do without it end that."""
        return self._http is not None and self._failures < 2

    async def download(self, model: Mapping[str, Any], folder: Path, *, what: str = "model") -> Path:
        """The file of a model version `{sha256, size, url}`, its hash checked; `folder` keeps the last one only.
        What goes with a model comes the same way; `what` is its name in refusals.

        What is there already, of this process or an earlier one, is not fetched again.

        Raises:
            Refused: the server has no such model, its bytes are twice not what their hash says, or the disk is full.
        """
        sha256, size = str(model["sha256"]), int(model["size"])
        path, unfinished = folder / sha256, folder / f"{sha256}.part"
        _keep_only(folder, path, unfinished)
        if path.exists():
            if await asyncio.to_thread(_sha256, path) == sha256:
                return path
            path.unlink()  # the disk has spoilt it
        part = _Part(unfinished, size)
        for final in (False, True):
            await self._fetch(str(model["url"]), sha256, part)
            if part.held == size and await asyncio.to_thread(_sha256, part.path) == sha256:
                return part.path.rename(path)
            part.restart()
            if final:
                break
        raise Refused(
            ErrorCode.HASH_MISMATCH,
            f"the {what} that arrived is not the one announced (sha256 {sha256[:12]}…).",
            "check the server's disk, and any proxy between it and this node",
        )

    async def _fetch(self, url: str, sha256: str, part: _Part) -> None:
        patience = self._patience()
        while True:
            try:
                if not (self.raw and await self._download_raw(url, sha256, part)):
                    await self._download_inband(sha256, part)
                return
            except Refused as refused:
                if refused.code not in LATER - {ErrorCode.STORAGE_FULL}:  # the disk that is full is this node's
                    raise
                await patience.wait(refused)

    def _patience(self) -> Patience:
        return Patience(self._patience_s, sleep=self._sleep)

    async def _download_raw(self, url: str, sha256: str, part: _Part) -> bool:
        try:
            return await self._try_raw(lambda http: self._get(http, url, part), lambda: self._read_piece(sha256, part))
        except Refused as refused:
            if refused.code in LATER | {ErrorCode.HASH_MISMATCH}:
                raise
            return False  # the URL's day is over, say; the blob itself can still be asked for by its hash

    async def _get(self, http: httpx2.AsyncClient, url: str, part: _Part) -> None:
        headers = {"Accept-Encoding": "identity"}
        if part.held == part.size:
            return
        if part.held:
            headers["Range"] = f"bytes={part.held}-"
        async with http.stream("GET", f"{self._base}/{url.lstrip('/')}", headers=headers) as response:
            if response.status_code not in (200, 206):
                await response.aread()
                raise _verdict(response)
            if response.status_code == 200:
                part.restart()
            async for chunk in response.aiter_bytes():
                self.bytes_down += len(chunk)
                part.write(chunk)
        if part.held < part.size:
            raise httpx2.RemoteProtocolError(f"{part.held} of {part.size} bytes arrived")

    async def _download_inband(self, sha256: str, part: _Part) -> None:
        while part.held < part.size:
            if not await self._read_piece(sha256, part):
                return  # shorter than announced: the hash tells

    async def _read_piece(self, sha256: str, part: _Part) -> int:
        if part.held == part.size:
            return 0
        data = await self._connection.read(f"potluck://blobs/{sha256}/{part.held}")
        self.bytes_down += len(data)
        part.write(data)
        return len(data)

    async def upload(self, begin: dict[str, Any], payload: bytes) -> str:
        """Bring `payload` to the server and return its upload id; `begin` is what begin_upload is called with.

        Raises:
            Refused: the server does not want it, with the reason.
        """
        failures, patience = 0, self._patience()
        while True:
            answer = await self._call("begin_upload", begin)
            reach("node_upload_announced")
            if answer["received"]:
                return str(answer["upload_id"])
            try:
                put = partial(self._put, str(answer["url"]), payload)
                if not (self.raw and await self._try_raw(put, lambda: self._call("begin_upload", begin))):
                    await self._upload_inband(answer, payload)
                reach("node_upload_complete")
                return str(answer["upload_id"])
            except Refused as refused:
                if refused.code in LATER:  # a full disk, say: until there is room, or the round is over
                    await patience.wait(refused)
                    continue
                failures += 1
                again = {ErrorCode.UPLOAD_GONE, ErrorCode.UPLOAD_INCOMPLETE}
                again |= {ErrorCode.OFFSET_GAP, ErrorCode.HASH_MISMATCH}
                if refused.code not in again or failures == ATTEMPTS:
                    raise

    async def _put(self, url: str, payload: bytes, http: httpx2.AsyncClient) -> None:
        headers = {"Content-Length": str(len(payload)), "Content-Type": "application/octet-stream"}
        response = await http.put(f"{self._base}/{url.lstrip('/')}", content=_pieces(payload), headers=headers)
        if response.status_code not in (200, 201):
            raise _verdict(response)
        self.bytes_up += len(payload)

    async def _upload_inband(self, begun: Mapping[str, Any], payload: bytes) -> None:
        offset = int(begun["next_offset"])
        size = min(self._chunk, int(begun["chunk_max_bytes"]))
        while offset < len(payload):
            data = payload[offset : offset + size]
            encoded = (await asyncio.to_thread(base64.b64encode, data)).decode()
            arguments = {"upload_id": begun["upload_id"], "offset": offset, "data_b64": encoded}
            offset = int((await self._call("upload_chunk", arguments))["next_offset"])
            self.bytes_up += len(data)
            reach("node_chunk_sent")

    async def _try_raw(
        self, transfer: Callable[[httpx2.AsyncClient], Awaitable[None]], until_back: Callable[[], Awaitable[object]]
    ) -> bool:
        """Whether the raw lane did it; a refusal of Potluck's own is raised.

        Where nobody takes the connection, the server may be down: `until_back` asks it something through MCP, which
        waits for it. So a restart costs a try, and only a lane that is closed while MCP works is given up.
        """
        if self._http is None:
            return False
        for _, pause in zip(range(ATTEMPTS), delays(), strict=False):
            try:
                await transfer(self._http)
            except NoLane:
                self._failures = 2
                return False
            except (httpx2.TransportError, Lost) as error:
                await self._sleep(pause)
                if isinstance(error, httpx2.ConnectError):
                    await until_back()
            else:
                self._failures = 0
                return True
        self._failures += 1
        return False


class _Part:
    """A file that grows to an announced size and no further; it goes on from what an earlier process left."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.held = path.stat().st_size if path.exists() else 0
        if not 0 < self.held <= size:
            self.restart()

    def restart(self) -> None:
        with _room(self.path):
            self.path.write_bytes(b"")
        self.held = 0

    def write(self, data: bytes) -> None:
        if self.held + len(data) > self.size:
            problem = f"the server sends more than the {self.size} bytes that it announced."
            raise Refused(ErrorCode.HASH_MISMATCH, problem, "check the server, and any proxy between it and this node")
        with _room(self.path):
            with self.path.open("ab") as file:
                file.write(data)
            reach("node_download_partly")
        self.held += len(data)


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """A full disk is a refusal: without the model there is nothing to train."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        problem = f"there is no room for the model in {path.parent}."
        mend = "free some space, or pass --state-dir with a folder on another disk"
        raise Refused(ErrorCode.STORAGE_FULL, problem, mend) from error


async def _pieces(payload: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(payload), PIECE):
        yield payload[start : start + PIECE]
        reach("node_upload_partly")


def _keep_only(folder: Path, *kept: Path) -> None:
    with _room(folder):
        folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        if file not in kept:
            file.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verdict(response: httpx2.Response) -> Exception:
    """What an error status means here: a refusal that stands is Potluck's own, or there is no such lane."""
    try:
        said = refusal_in(response.json())
    except (ValueError, RecursionError):
        said = None
    after = response.headers.get("Retry-After", "")
    retry_after_s = float(after) if after.isascii() and after.isdigit() else None
    meant = meaning_of_status(response.status_code, said=said, retry_after_s=retry_after_s)
    if said is None and isinstance(meant, Refused) and meant.code not in LATER:
        return NoLane(f"HTTP status {response.status_code}")
    return meant
