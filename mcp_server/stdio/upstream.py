"""The server of a data directory, wherever it is at the moment: found again when it comes back somewhere else."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2

from federation.data_dir import Address, is_owned, read_address

_CONNECT_S = 5.0
_NO_END = httpx2.Timeout(_CONNECT_S, read=None, write=60)  # a long poll or a stream of notices lasts


class Gone(Exception):
    """No server answers on this data directory; the text says how to mend it."""


class Upstream:
    """Speaks HTTP with the server that runs on `data_dir`, as the holder of `token()`."""

    def __init__(self, data_dir: Path, token: Callable[[], str]) -> None:
        self._data_dir = data_dir
        self._token = token
        self._address: Address | None = None
        self._http: httpx2.AsyncClient | None = None

    async def answers(self) -> bool:
        """Whether a server is there."""
        try:
            async with self.stream("GET", "/healthz"):
                return True
        except (Gone, httpx2.TransportError):
            return False

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, content: str | None = None
    ) -> AsyncIterator[httpx2.Response]:
        """One exchange; the body is still to be read.

        Raises:
            Gone: nobody accepted the connection, so nothing was asked.
            httpx2.TransportError: the connection broke afterwards.
        """
        for last in (False, True):
            try:
                http, url = await self._connect()
                request = http.build_request(method, url + path, headers=dict(headers or {}), content=content)
                response = await http.send(request, stream=True)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                moved = read_address(self._data_dir) != self._address
                await self.close()
                if last or not moved:
                    raise Gone(self._gone()) from None
                continue
            try:
                yield response
            finally:
                with suppress(httpx2.TransportError):
                    await response.aclose()
            return

    async def close(self) -> None:
        """Forgets the server and its connections; the next exchange looks where it is now."""
        http, self._http, self._address = self._http, None, None
        if http is not None:
            await http.aclose()

    async def _connect(self) -> tuple[httpx2.AsyncClient, str]:
        if self._http is None or self._address is None:
            address = read_address(self._data_dir)
            if address is None or not is_owned(self._data_dir):  # a stranger may have the port of a killed server
                raise Gone(self._gone())
            self._address = address
            self._http = httpx2.AsyncClient(
                headers={"Authorization": f"Bearer {self._token()}"},
                timeout=_NO_END,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8),
                verify=_trusting(address.certificate),
                trust_env=False,  # a proxy has no business between two processes of one machine
            )
        return self._http, self._address.url

    def _gone(self) -> str:
        return (
            f"no server runs on {self._data_dir.resolve()} at the moment. "
            f"Mend: start one with `potluck serve --data-dir {self._data_dir.resolve()}` and call again; "
            "nothing has to be restarted here"
        )


def _trusting(certificate: Path | None) -> ssl.SSLContext | bool:
    """Trusts the very certificate that the server was started with, whatever name it is for."""
    if certificate is None:
        return True
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
