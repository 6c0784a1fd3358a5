"""HTTP connections that owe the server something: a head in time, a body that moves, a reader that reads.

uvicorn bounds none of it: it keeps a header of any size, waits for ever for the rest of a request, and for ever for a
client that does not read. Each connection here has one timer for what its client owes, and one while it does not read.
What nobody acknowledges, the kernel ends: the listener asks it to.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from federation.errors import ErrorCode, Refused
from mcp_server.addresses import Proxies, source_of
from mcp_server.doors import Doors

MAX_URL = 8_192
MAX_HEADERS = 100
LEAST_RATE = 1_024
"""Bytes a second that a body has to bring, and that a reader has to take."""
_MOST_UNREAD = 16 << 20
_MOST_LINGERING = 64
_LINGER_S = 2.0


@dataclass(frozen=True)
class Bounds:
    """What a connection is allowed."""

    doors: Doors
    proxies: Proxies
    max_header_bytes: int
    header_timeout_s: float
    body_timeout_s: float
    send_timeout_s: float


class Wire(HttpToolsProtocol):
    """uvicorn's protocol with bounds. Subclassed by `bounded`."""

    bounds: ClassVar[Bounds]
    lingering: ClassVar[int] = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._address = ""
        self._admitted = self._turned_away = False
        self._owed: Literal["head", "body"] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._head = self._fields = self._brought = self._marked = 0
        self._why: tuple[int, str, str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn means what asyncio calls the base
        host = self.client[0] if self.client else ""
        self._address = source_of(host)
        full = self.bounds.doors.enter(self._address, shared=host in self.bounds.proxies)
        if full is None:
            self._admitted = True
            self._owe("head")
        else:
            self._turn_away(full)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owe(None)
        self._stop_reader_timer()
        if self._admitted:
            self._admitted = False
            self.bounds.doors.leave(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._turned_away or self._why is not None or self.transport.is_closing():
            return  # what comes after a refusal is not looked at
        if self._owed is None and not self._busy():
            self._owe("head")
        brought = self._brought
        self._head += len(data)
        super().data_received(data)
        if self._owed == "body" and self._brought != brought:
            self._head = 0
        # A header is kept by the parser until it is whole; so are the trailers of a chunked body.
        if self._owed is not None and self._head > self.bounds.max_header_bytes:
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fields = 0
        self._owe("head")

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL:
            self._stop_parser((414, f"the URL has more than {MAX_URL} bytes", "send arguments in the body"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += len(name) + len(value)
        if self._fields > self.bounds.max_header_bytes or len(self.headers) >= MAX_HEADERS:
            self._stop_parser(self._head_too_large())
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._brought = self._marked = self._head = self._fields = 0
        self._owe("body")

    def on_body(self, body: bytes) -> None:
        self._brought += len(body)
        if self.cycle.response_complete and self._brought > _MOST_UNREAD:
            self._leave()  # it was refused, and goes on for all that
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head = 0
        self._owe(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._why = self._why or (400, "this is no HTTP request", "send HTTP/1.1")
        status, problem, mend = self._why
        if self._busy() and (self.cycle.response_started or self._owed == "head"):
            self._leave()  # an answer is on its way; another one would be taken for a part of it
        else:
            self._answer(status, ErrorCode.INVALID_ARGUMENT, problem, mend)

    def _unsupported_upgrade_warning(self) -> None:
        """A request for WebSockets is answered like any other; two lines of log for each would be a gift."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_reader_timer()
        self._watch_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._stop_reader_timer()
        super().resume_writing()

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _owe(self, what: Literal["head", "body"] | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owed = what
        if what is not None:
            within = self.bounds.header_timeout_s if what == "head" else self.bounds.body_timeout_s
            self._timer = self.loop.call_later(within, self._late)

    def _late(self) -> None:
        window = self.bounds.body_timeout_s
        if self._owed == "body":
            waits_for_us = self.flow.read_paused or self.cycle.waiting_for_100_continue
            if waits_for_us or self._brought - self._marked >= LEAST_RATE * window:
                self._marked = self._brought
                self._owe("body")
                return
        if self._owed == "head":
            what, to_be_told = "head", self._head > 0 and not self._busy()
        else:
            what = f"body (1 KiB a second over {window:g} s)"
            to_be_told = self._busy() and not self.cycle.response_started
        if to_be_told:
            self._answer(408, ErrorCode.INVALID_ARGUMENT, f"the request's {what} did not come in time", "send it again")
        else:
            self._leave()

    def _watch_reader(self, buffered: int) -> None:
        self._reader_timer = self.loop.call_later(self.bounds.send_timeout_s, self._check_reader, buffered)

    def _check_reader(self, before: int) -> None:
        now = self.transport.get_write_buffer_size()
        if now <= before - LEAST_RATE * self.bounds.send_timeout_s:
            self._watch_reader(now)
        else:
            self.transport.abort()

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _stop_parser(self, why: tuple[int, str, str]) -> None:
        """The parser stops at an exception, and uvicorn answers through send_400_response."""
        self._why = why
        raise ValueError(why[1])

    def _head_too_large(self) -> tuple[int, str, str]:
        most = self.bounds.max_header_bytes
        return 431, f"the request's head has more than {most} bytes or {MAX_HEADERS} headers", "send fewer headers"

    def _refuse_head(self) -> None:
        self._why = self._head_too_large()
        self.send_400_response("")

    def _turn_away(self, problem: str) -> None:
        """Says no and waits a moment, so that the answer is not lost to the reset that unread bytes would cause."""
        self._turned_away = True
        refused = Refused(ErrorCode.RATE_LIMITED, f"{problem}.", "try again later, or close others", retry_after_s=5)
        self._write(429, refused)
        kind = type(self)
        if kind.lingering >= _MOST_LINGERING or not self.transport.can_write_eof():
            self.transport.close()
            return
        kind.lingering += 1
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self._end_lingering)

    def _end_lingering(self) -> None:
        type(self).lingering -= 1
        self.transport.close()

    def _answer(self, status: int, code: ErrorCode, problem: str, mend: str) -> None:
        self._write(status, Refused(code, f"{problem}.", mend))
        self._leave()

    def _leave(self) -> None:
        """Closes, and lets the application know at once: what it would still answer has nowhere to go."""
        self._owe(None)
        if self._busy():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _write(self, status: int, refused: Refused) -> None:
        body = json.dumps({"error": refused.as_dict()}).encode()
        head = [
            STATUS_LINE[status],
            b"content-type: application/json\r\nconnection: close\r\n",
            b"content-length: %d\r\n" % len(body),
        ]
        if refused.retry_after_s is not None:
            head.append(b"retry-after: %d\r\n" % refused.retry_after_s)
        self.transport.write(b"".join([*head, b"\r\n", body]))


def bounded(bounds: Bounds) -> type[asyncio.Protocol]:
    """The protocol of one server."""
    return type("BoundedWire", (Wire,), {"bounds": bounds, "lingering": 0})
