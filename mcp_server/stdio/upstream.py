"""The server of a data directory, wherever it is at the moment: found again when it comes back somewhere else."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2

from federation.data_dir import Address, owners_address, read_address
from federation.errors import Refused

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

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, content: str | None = None
    ) -> AsyncIterator[httpx2.Response]:
        """One exchange; the body is still to be read.

        Raises:
            Gone: nobody accepted the connection, or nobody who can be trusted, so nothing was asked.
            httpx2.TransportError: the connection broke afterwards.
        """
        for last in (False, True):
            try:
                http, url = await self._connect()
                request = http.build_request(method, url + path, headers=dict(headers or {}), content=content)
                response = await http.send(request, stream=True)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                known = self._address
                moved = read_address(self._data_dir) != known
                await self.close()
                if last or not moved:
                    raise Gone(_distrusted(known, error) or self._gone()) from None
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
        try:
            address = owners_address(self._data_dir)  # each time: a stranger may have the port of a killed server
        except Refused as refused:
            raise Gone(f"{refused.problem} Mend: {refused.mend}") from None
        if address is None:
            raise Gone(self._gone())
        if address != self._address:
            await self.close()
        if self._http is None:
            self._http = httpx2.AsyncClient(
                headers={"Authorization": f"Bearer {self._token()}"},
                timeout=_NO_END,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8),
                verify=_trusting(address.certificate),
                trust_env=False,  # a proxy has no business between two processes of one machine
            )
            self._address = address
        return self._http, address.local or address.url

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
    try:
        context = ssl.create_default_context(cafile=certificate)
    except OSError as error:  # an SSLError is one
        problem = f"the server's certificate {certificate} cannot be read: {error.strerror or error}."
        raise Gone(f"{problem} Mend: put it back, or start the server anew with another --ssl-certfile") from None
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _distrusted(address: Address | None, error: BaseException) -> str | None:
    """What is wrong with the server's TLS, if that was it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None or address is None:
        return None
    return (
        f"the server at {address.local or address.url} runs, but TLS with it failed against the certificate in "
        f"{address.certificate}: {error}. Mend: if that file was renewed, start the server anew"
    )
