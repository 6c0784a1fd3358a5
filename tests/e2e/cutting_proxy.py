"""A line between nodes and a server that breaks at the worst moment: once the server has answered, before anyone hears.

It looks for a word in what a client sends; when the server's answer to that comes, the connection is cut instead.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class CuttingProxy:
    """Passes bytes on to a port of this machine until it has to cut.

    Args:
        port: where the server listens.
        word: what a request has to contain for its answer to be dropped, lower-case; the first one that does.
    """

    def __init__(self, port: int, word: bytes) -> None:
        self._port = port
        self._word = word
        self._armed = True
        self.cut = threading.Event()
        self.bytes_down = 0
        """What clients have got, headers and all."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._close(self._listener, *self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                return
            self._sockets += [client, server]
            seen = threading.Event()
            threading.Thread(target=self._up, args=(client, server, seen), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, seen), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, seen: threading.Event) -> None:
        last = b""
        try:
            while data := client.recv(65536):
                last = (last + data)[-65536 - len(self._word) :]
                with self._lock:
                    if self._armed and self._word in last.lower():
                        self._armed = False
                        seen.set()
                server.sendall(data)
        except OSError:
            pass
        self._close(client, server)

    def _down(self, client: socket.socket, server: socket.socket, seen: threading.Event) -> None:
        try:
            while data := server.recv(65536):
                if seen.is_set():
                    self.cut.set()
                    break
                client.sendall(data)
                with self._lock:
                    self.bytes_down += len(data)
        except OSError:
            pass
        self._close(client, server)

    @staticmethod
    def _close(*sockets: socket.socket) -> None:
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
