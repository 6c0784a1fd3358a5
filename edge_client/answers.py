"""What came back from the server: a result, a refusal that stands, or a failure that may be tried again."""

from __future__ import annotations

import json
import ssl
from typing import Any

import anyio
import httpx2
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, CallToolResult, TextContent

from federation.errors import ErrorCode, Refused

STAND_INS = ("Server returned an error response", "Not Found", "Session terminated")
"""What the SDK says instead of an HTTP error status without a JSON-RPC body; the status itself tells more."""
MISFIT = "check that server and client fit together"
LATER = {ErrorCode.BUSY, ErrorCode.RATE_LIMITED, ErrorCode.STORAGE_FULL}
"""Refusals that time mends."""
_LATER_STATUS = {429: ErrorCode.RATE_LIMITED, 503: ErrorCode.BUSY, 507: ErrorCode.STORAGE_FULL}


class Lost(ConnectionError):
    """The server could not be reached, or the connection broke before the answer came."""


def result_of(result: CallToolResult) -> dict[str, Any]:
    """A tool's structured result (or its text, as JSON where it is that); an error result is raised as `Refused`."""
    text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
    if result.is_error:
        raise refusal_in(result.structured_content) or Refused(
            ErrorCode.INVALID_ARGUMENT, text or "the tool failed.", "see the tool's description and the server's log"
        )
    if isinstance(result.structured_content, dict):
        return result.structured_content
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = text
    return parsed if isinstance(parsed, dict) else {"result": parsed}


def refusal_in(body: Any) -> Refused | None:
    """The refusal in `{"error": {code, problem, mend}}`, the form in which tools and the raw lane say no."""
    try:
        error = body["error"]
        code, problem, mend = str(error["code"]), str(error["problem"]), str(error["mend"])
        after = error.get("retry_after_s")
    except (KeyError, TypeError, AttributeError):
        return None
    known = isinstance(after, int | float) and after >= 0
    try:
        return Refused(ErrorCode(code), problem, mend, retry_after_s=float(after) if known else None)
    except ValueError:  # a newer server's code
        return Refused(ErrorCode.INVALID_ARGUMENT, f"{code}: {problem}", mend)


def meaning(error: BaseException, *, status: int | None, known: bool) -> Exception:
    """What a failed call means: `Lost` may mend itself by trying again; `Refused`, and whatever else, will not.

    Args:
        error: what was raised, perhaps in a group.
        status: the last HTTP error status that came meanwhile.
        known: whether this server has answered before; if so, a 404 is a server on its way up or down.
    """
    meant: Exception = error if isinstance(error, Exception) else Lost(type(error).__name__)
    if isinstance(error, BaseExceptionGroup):
        parts = [meaning(part, status=status, known=known) for part in error.exceptions]
        meant = next((part for part in parts if not isinstance(part, Lost)), parts[0])
    elif isinstance(error, httpx2.HTTPStatusError):
        meant = _over_mcp(error.response.status_code, known)
    elif _distrusts(error):
        mend = "check the URL; pass --ca-file with the certificate that signed the server's, if you trust it"
        meant = Refused(ErrorCode.FORBIDDEN, "the server's certificate is not trusted.", mend)
    elif isinstance(error, MCPError) and error.message in STAND_INS and status is not None:
        meant = _over_mcp(status, known)
    elif isinstance(error, MCPError) and error.code in (CONNECTION_CLOSED, REQUEST_TIMEOUT):
        meant = Lost(error.message)
    elif isinstance(error, MCPError):
        problem = f"{error.message.rstrip('.')}."
        meant = refusal_in(error.data) or Refused(ErrorCode.INVALID_ARGUMENT, problem, MISFIT)
    elif isinstance(error, httpx2.HTTPError | OSError | anyio.BrokenResourceError | anyio.ClosedResourceError):
        meant = error if isinstance(error, Lost) else Lost(str(error) or type(error).__name__)
    return meant


def _distrusts(error: BaseException) -> bool:
    """Whether a certificate that does not verify is at the bottom of `error`."""
    below = error.__cause__ or error.__context__
    return isinstance(error, ssl.SSLCertVerificationError) or (below is not None and _distrusts(below))


def _over_mcp(status: int, known: bool) -> Exception:
    """Of an answer to MCP only the status is seen. What is told "later" without a word on when is asked again."""
    meant = meaning_of_status(status, known=known)
    return Lost(meant.problem) if isinstance(meant, Refused) and meant.code in LATER else meant


def meaning_of_status(
    status: int, *, known: bool = False, said: Refused | None = None, retry_after_s: float | None = None
) -> Lost | Refused:
    """What an HTTP error status means, on every path: the status first, whatever the body says.

    Args:
        status: 400 or above.
        known: as in `meaning`.
        said: Potluck's own refusal in the body, if there is one.
        retry_after_s: the header `Retry-After`, if there is one.

    Returns:
        `Lost` for troubles that pass; a refusal in `LATER` where the server wants to be asked again later; else the
        refusal that stands.
    """
    if status == 429 or (status in _LATER_STATUS and (said is not None or retry_after_s is not None)):
        problem, mend = (
            (said.problem, said.mend) if said else (f"the server is too busy ({status}).", "try again later")
        )
        code = said.code if said is not None and said.code in LATER else _LATER_STATUS[status]
        after = retry_after_s if said is None or said.retry_after_s is None else said.retry_after_s
        return Refused(code, problem, mend, retry_after_s=after)
    if status >= 500 or status in (408, 425) or (status == 404 and known):
        return Lost(f"HTTP status {status}")
    if status == 401:
        mend = "give a token of this server (--token, POTLUCK_TOKEN), or none where none is asked for; "
        mend += "an operator gets one with `potluck token`"
        return Refused(ErrorCode.UNAUTHORIZED, said.problem if said else "the server wants a valid token.", mend)
    return said or _refusal_of(status)


def _refusal_of(status: int) -> Refused:
    match status:
        case 403 | 421:
            mend = "use the address that the server printed, or start it with --allow-host and this host's name"
            return Refused(ErrorCode.FORBIDDEN, f"the server does not answer to this address ({status}).", mend)
        case 404 | 405:
            problem = f"there is no MCP endpoint at this address ({status})."
            return Refused(ErrorCode.NOT_FOUND, problem, "check the URL; the part before /mcp is wanted")
        case 413:
            problem = "the request is larger than the server takes."
            return Refused(ErrorCode.TOO_LARGE, problem, "send it in smaller parts")
        case _:
            return Refused(ErrorCode.INVALID_ARGUMENT, f"the server answered with HTTP status {status}.", MISFIT)
