"""Who calls, on every path and transport: a valid bearer token, or the anonymous role. A wrong token is 401."""

from __future__ import annotations

import hmac

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthCredentials
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from federation.tokens import Tokens
from mcp_server.settings import Settings
from tools.context import Access

PUBLIC = ("/healthz",)
SIGNED = ("/raw/",)  # their URLs are the leave to use them


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
        return None if access is None else _identity("anonymous", access)

    async def holder(self, secret: str) -> AccessToken | None:
        """The identity of a token's holder; None when the token is wrong, revoked or past its end."""
        if self._preset is not None and hmac.compare_digest(secret.encode(), self._preset):
            return _identity("operator", Access.OPEN if self._open else Access.OPERATOR)
        holder = await self._tokens.verify(secret)
        if holder is None:
            return None
        return _identity(holder.token_id, Access.OPEN if self._open else Access(holder.role.value))


class AuthMiddleware:
    """Puts the caller's identity where the SDK and the tools look for it."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or path in PUBLIC:
            await self._app(scope, receive, send)
            return
        header = Headers(scope=scope).get("authorization")
        if header is None:
            token = self._callers.anonymous()
        else:
            scheme, _, secret = header.partition(" ")
            token = await self._callers.holder(secret.strip()) if scheme.lower() == "bearer" else None
        if token is None and (header is not None or not path.startswith(SIGNED)):
            await _unauthorized(wrong=header is not None)(scope, receive, send)
            return
        if token is None:
            await self._app(scope, receive, send)
            return
        user = AuthenticatedUser(token)
        scope["user"], scope["auth"] = user, AuthCredentials(token.scopes)
        reset = auth_context_var.set(user)
        try:
            await self._app(scope, receive, send)
        finally:
            auth_context_var.reset(reset)


def local_operator(settings: Settings) -> AccessToken:
    """The identity of whoever started this process: the owner of the data directory, who holds every key to it."""
    return _identity("stdio", Access.OPEN if settings.open else Access.OPERATOR)


def _identity(token_id: str, access: Access) -> AccessToken:
    return AccessToken(token="", client_id=token_id, subject=token_id, scopes=[access.value])


def _unauthorized(*, wrong: bool) -> JSONResponse:
    problem = "the bearer token is wrong, revoked or expired" if wrong else "this server demands a bearer token"
    mend = "send `Authorization: Bearer <token>`; an operator issues tokens with issue_token"
    return JSONResponse(
        {"error": {"code": "unauthorized", "problem": problem, "mend": mend}},
        status_code=401,
        headers={"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{problem}"'},
    )
