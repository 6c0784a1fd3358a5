"""The raw lane: bytes beside the protocol, by signed URL. `PUT` takes updates, `GET` serves model versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from federation.coordinator.ports import MIB
from federation.errors import ErrorCode, Refused
from federation.store.audit import Call
from mcp_server.addresses import source
from mcp_server.refusals import answer, route_of
from tools.context import Potluck, current_caller

_PIECE_S = 120
"""Seconds in which a client has to take a piece of 1 MiB: 9 kB/s are enough."""


class BlobResponse(FileResponse):
    """A file in pieces of 1 MiB; `on_sent` hears how many bytes of it went out, also when the client leaves early.

    A client that takes too long over a piece is dropped.
    """

    chunk_size = 1 << 20

    def __init__(self, path: Path, headers: dict[str, str], on_sent: Callable[[int], None]) -> None:
        super().__init__(path, media_type="application/octet-stream", headers=headers)
        self._on_sent = on_sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = 0

        async def counting(message: Message) -> None:
            nonlocal sent
            try:
                async with asyncio.timeout(_PIECE_S):
                    await send(message)
            except TimeoutError:
                raise ClientDisconnect from None
            sent += len(message.get("body", b""))

        try:
            await super().__call__(scope, receive, counting)
        finally:
            self._on_sent(sent)


class RawLane:
    """The two routes of the raw lane."""

    def __init__(self, state: Potluck) -> None:
        self._state = state
        self._federation = state.federation

    def routes(self) -> list[Route]:
        """Where the URLs of `federation.lanes` lead."""
        return [
            Route("/raw/uploads/{ticket}", self.put_upload, methods=["PUT"]),
            Route("/raw/blobs/{ticket}", self.get_blob, methods=["GET"]),
        ]

    async def put_upload(self, request: Request) -> Response:
        """Streams an update's bytes to the spool while hashing them; stops at the announced size."""
        uploads = self._federation.uploads
        try:
            ticket = self._federation.shared.lanes.open_upload(request.path_params["ticket"])
            rates, address = self._state.rates, source(request.scope)
            rates.uploads.take(ticket.node_id, address)
            rates.upload_mib.take(ticket.node_id, address, ticket.size / MIB)
            upload, incoming = await uploads.admit(ticket)
            declared = request.headers.get("content-length", "0")
            if declared.isdigit() and int(declared) > upload.size:
                raise Refused(
                    ErrorCode.TOO_LARGE,
                    f"{declared} bytes are more than the {upload.size} announced.",
                    "send the announced bytes, or call begin_upload for these",
                )
            with uploads.receiving(upload), incoming:
                async for chunk in request.stream():
                    incoming.write(chunk)
                    self._federation.traffic.received("raw", len(chunk))
                await _to_its_end(incoming.finish)
            await uploads.finish(upload)
        except Refused as refused:
            return self._refusal(request, refused)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        return JSONResponse({"upload_id": upload.upload_id, "sha256": upload.sha256, "size": upload.size})

    async def get_blob(self, request: Request) -> Response:
        """Serves a model version. It is named by its hash and never changes, so caches may keep it."""
        try:
            ticket = self._federation.shared.lanes.open_blob(request.path_params["ticket"])
            path = self._federation.shared.spool.path(ticket.sha256)
        except Refused as refused:
            return self._refusal(request, refused)
        etag = f'"{ticket.sha256}"'
        headers = {"ETag": etag, "Cache-Control": "private, max-age=86400, immutable"}
        known = (
            candidate.strip().removeprefix("W/") for candidate in request.headers.get("if-none-match", "").split(",")
        )
        if any(candidate in (etag, "*") for candidate in known):
            return Response(status_code=304, headers=headers)

        def count(sent: int) -> None:
            self._federation.traffic.sent("raw", ticket.task_id, sent)

        return BlobResponse(path, headers, count)

    def _refusal(self, request: Request, refused: Refused) -> Response:
        caller, address = current_caller(), source(request.scope)
        role = caller.access.value if caller.access else ""
        self._state.audit.note(Call(caller.token_id, role, address, route_of(request.scope), refused.code.value))
        return answer(refused)


async def _to_its_end(work: Callable[[], None]) -> None:
    """Runs `work` in a thread. A thread that renames a file cannot be called back, so a cancelled caller waits."""
    job = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait({job})
        raise
