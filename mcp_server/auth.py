"""Who calls, on every path and transport: a valid bearer token, or the anonymous role. A wrong token is 401."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.authentication import AuthCredentials
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from federation.errors import ErrorCode, Refused
from federation.store.audit import Audit, Call
from federation.tokens import Tokens
from mcp_server.addresses import source
from mcp_server.refusals import answer, route_of
from mcp_server.settings import Settings
from mcp_server.streams import Streams
from tools.context import Access, caller_address
from tools.rate import Rates

PUBLIC = ("/healthz",)
SIGNED = ("/raw/",)  # their URLs are the leave to use them
PAGE = "/edge"  # and what is below it: the same files for everybody
GUARDED = ("/mcp", "/sse", "/messages", "/raw", "/edge", "/metrics", "/healthz")
"""What callers need an identity for, and what is below it. Anything else is the pages for people, which see to their
visitors' identities themselves: a proxy may send credentials of its own along."""


@dataclass(frozen=True)
class Known:
    """A caller: its identity, and how many seconds it lasts; None: for ever."""

    identity: AccessToken
    left_s: float | None = None


class Callers:
    """Maps a bearer token to an identity."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._open = settings.open
        self._anonymous = None if settings.anonymous_role == "none" else Access(settings.anonymous_role)
        preset = settings.operator_token
        self._preset = None if preset is None else preset.get_secret_value().encode()
        self._tokens = tokens

    def anonymous(self) -> AccessToken | None:
        """The identity of a caller without a token; None when a token is demanded."""
        access = Access.OPEN if self._open else self._anonymous
        return None if access is None else identity("anonymous", access)

    def is_guess(self, secret: str) -> bool:
        """Whether this server never made such a token; one that has ended is no guess."""
        return self._tokens.issued(secret) is None

    async def holder(self, secret: str, *, guessing: bool) -> Known | None:
        """A token's holder; None when the token is wrong, revoked or past its end.

        `guessing`: many wrong ones came from there lately. A token that somebody thought up is not compared then; those
        that the server made cannot be guessed, so their holders at the same address are let in.
        """
        if not guessing and self._preset is not None and hmac.compare_digest(secret.encode(), self._preset):
            return Known(identity("operator", Access.OPEN if self._open else Access.OPERATOR))
        holder = await self._tokens.verify(secret)
        if holder is None:
            return None
        access = Access.OPEN if self._open else Access(holder.role.value)
        return Known(identity(holder.token_id, access), holder.left_s)


class AuthMiddleware:
    """Puts the caller's identity where the SDK and the tools look for it, for as long as its token lasts.

    Args:
        pages: whether there are pages for people, wherever there is nothing else.
    """

    def __init__(
        self, app: ASGIApp, callers: Callers, streams: Streams, rates: Rates, audit: Audit, *, pages: bool = False
    ) -> None:
        self._app = app
        self._pages = pages
        self._callers = callers
        self._streams = streams
        self._rates = rates
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or path in PUBLIC or (self._pages and not is_guarded(path)):
            await self._app(scope, receive, send)
            return
        address = source(scope)
        header = Headers(scope=scope).get("authorization")
        if header is None:
            token = self._callers.anonymous()
            known = None if token is None else Known(token)
        else:
            known = await self._believed(header, address)
        if known is None and (header is not None or not _needs_nobody(path)):
            await self._turn_away(scope, receive, send, address, header)
            return
        reset = caller_address.set(address)
        try:
            await self._admit(scope, receive, send, known, address, path)
        finally:
            caller_address.reset(reset)

    async def _believed(self, header: str, address: str) -> Known | None:
        scheme, secret = _parts(header)
        if scheme != "bearer":
            return None
        return await self._callers.holder(secret, guessing=self._rates.failures.wait(address) > 0)

    async def _turn_away(self, scope: Scope, receive: Receive, send: Send, address: str, header: str | None) -> None:
        guess = header is not None and self._callers.is_guess(_parts(header)[1])
        wait = self._rates.failures.wait(address) if guess else 0.0
        code = ErrorCode.RATE_LIMITED if wait else ErrorCode.UNAUTHORIZED
        self._audit.note(Call("nobody", "", address, route_of(scope), code.value))
        if guess and not wait:
            self._rates.failures.count(address)
        if wait:
            problem = "too many wrong bearer tokens came from this address."
            mend = f"try again in {wait:.1f} seconds, with the right token"
            refused = Refused(ErrorCode.RATE_LIMITED, problem, mend, retry_after_s=wait)
            await answer(refused)(scope, receive, send)
        else:
            await _unauthorized(wrong=header is not None)(scope, receive, send)

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, known: Known | None, address: str, path: str
    ) -> None:
        if known is None:
            await self._app(scope, receive, send)
            return
        token = known.identity
        if _opens_session(scope, path):
            try:
                self._rates.sessions.take(token.client_id, address)
            except Refused as refused:
                self._audit.note(Call(token.client_id, token.scopes[0], address, route_of(scope), refused.code.value))
                await answer(refused)(scope, receive, send)
                return
        scope["user"], scope["auth"] = AuthenticatedUser(token), AuthCredentials(token.scopes)
        reset = auth_context_var.set(scope["user"])
        try:
            answered = await self._streams.run(
                self._app,
                scope,
                receive,
                send,
                token_id=token.client_id,
                left_s=known.left_s,
                gently=path == "/sse",  # the SDK's transport tidies up after a client that leaves, not when cancelled
            )
        finally:
            auth_context_var.reset(reset)
        if not answered:
            await _unauthorized(wrong=True)(scope, receive, send)


def is_guarded(path: str) -> bool:
    """Whether a path is the protocol's, the raw lane's or the like, rather than a page's."""
    return any(path == root or path.startswith(f"{root}/") for root in GUARDED)


def _needs_nobody(path: str) -> bool:
    """Whether a caller without a token and without the anonymous role may come here."""
    return path.startswith((*SIGNED, f"{PAGE}/")) or path == PAGE


def _parts(header: str) -> tuple[str, str]:
    """Scheme and secret of an Authorization header."""
    scheme, _, secret = header.partition(" ")
    return scheme.lower(), secret.strip()


def _opens_session(scope: Scope, path: str) -> bool:
    """Whether the server keeps something for this caller once the request is answered, or for as long as it lasts."""
    if path == "/sse":
        return True
    headers = Headers(scope=scope)
    revision = headers.get("mcp-protocol-version")
    modern = revision is not None and revision not in HANDSHAKE_PROTOCOL_VERSIONS
    return path == "/mcp" and scope["method"] == "POST" and not modern and "mcp-session-id" not in headers


def local_operator(settings: Settings) -> AccessToken:
    """The identity of whoever started this process: the owner of the data directory, who holds every key to it."""
    return identity("stdio", Access.OPEN if settings.open else Access.OPERATOR)


def identity(token_id: str, access: Access) -> AccessToken:
    """A caller as the SDK and the tools know it."""
    return AccessToken(token="", client_id=token_id, subject=token_id, scopes=[access.value])


def _unauthorized(*, wrong: bool) -> JSONResponse:
    problem = "the bearer token is wrong, revoked or expired" if wrong else "this server demands a bearer token"
    mend = "send `Authorization: Bearer <token>`; an operator issues tokens with issue_token"
    response = answer(Refused(ErrorCode.UNAUTHORIZED, f"{problem}.", mend))
    response.headers["WWW-Authenticate"] = f'Bearer error="invalid_token", error_description="{problem}"'
    return response
