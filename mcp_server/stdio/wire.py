"""Standard input and output as a line of JSON-RPC messages, kept from everything else that the process prints."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO

_AHEAD = 64
"""Lines read, or waiting to be written, before whoever sends them has to wait."""


class Wire:
    """The process's standard streams, claimed: from now on, 0 is empty and 1 is stderr, for child processes as well.

    Reading and writing happen in daemon threads, since both may block for as long as the process lives: a host that
    reads nothing or closes nothing must not keep a server from stopping.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._unwritten: queue.Queue[tuple[bytes, asyncio.Future[None], asyncio.AbstractEventLoop]] = queue.Queue()
        self._writing = False

    @classmethod
    def claim(cls) -> Wire:
        """Takes over standard input and output. Call it before anything can print, and once."""
        sys.stdout.flush()
        incoming, outgoing = os.dup(0), os.dup(1)  # not inherited by children
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        return cls(os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb", buffering=0))

    async def lines(self) -> AsyncIterator[str]:
        """Every line without its end, until the host closes the stream. Bytes that are not UTF-8 are replaced."""
        loop = asyncio.get_running_loop()
        read: asyncio.Queue[str | None] = asyncio.Queue(_AHEAD)

        def put(line: str | None) -> None:
            asyncio.run_coroutine_threadsafe(read.put(line), loop).result()

        def pump() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody wants to know
                try:
                    for line in self._incoming:
                        put(line.decode(errors="replace").rstrip("\r\n"))
                except OSError:
                    pass
                put(None)

        threading.Thread(target=pump, name="stdin", daemon=True).start()
        while (line := await read.get()) is not None:
            if line.strip():
                yield line

    async def write(self, message: str) -> None:
        """Writes one message; returns when the host's pipe has it. A host that is gone is no error."""
        if not self._writing:
            self._writing = True
            threading.Thread(target=self._write, name="stdout", daemon=True).start()
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._unwritten.put((message.rstrip("\n").encode() + b"\n", written, loop))
        await written

    def _write(self) -> None:
        while True:
            data, written, loop = self._unwritten.get()
            with suppress(OSError):
                view = memoryview(data)
                while view:
                    view = view[self._outgoing.write(view) or 0 :]
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_done, written)


def _done(written: asyncio.Future[None]) -> None:
    if not written.done():
        written.set_result(None)
