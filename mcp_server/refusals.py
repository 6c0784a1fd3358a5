"""Refusals over plain HTTP, with the same code, problem and mend as a tool's."""

from __future__ import annotations

import math

from starlette.responses import JSONResponse
from starlette.types import Scope

from federation.errors import ErrorCode, Refused

STATUS = {
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.BAD_SIGNATURE: 403,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.HASH_MISMATCH: 409,
    ErrorCode.UPLOAD_CONFLICT: 409,
    ErrorCode.UPLOAD_GONE: 410,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.BUSY: 503,
    ErrorCode.STORAGE_FULL: 507,
}
_ROUTES = ("mcp", "sse", "messages", "raw/uploads", "raw/blobs", "edge", "metrics", "healthz")


def answer(refused: Refused, status: int | None = None) -> JSONResponse:
    """A refusal as HTTP; `Retry-After` where it is known when to come again."""
    headers = {} if refused.retry_after_s is None else {"Retry-After": str(max(1, math.ceil(refused.retry_after_s)))}
    return JSONResponse(
        {"error": refused.as_dict()}, status_code=status or STATUS.get(refused.code, 400), headers=headers
    )


def route_of(scope: Scope) -> str:
    """Which of the server's routes a request is for: paths are the caller's words, and some are secrets."""
    path = str(scope.get("path", "")).removeprefix(scope.get("root_path", "")).strip("/")
    return next((route for route in _ROUTES if path == route or path.startswith(f"{route}/")), "elsewhere")
