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
    except (KeyError, TypeError):
        return None
    try:
        return Refused(ErrorCode(code), problem, mend)
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
        meant = _meaning_of_status(error.response.status_code, known)
    elif _distrusts(error):
        mend = "check the URL; pass --ca-file with the certificate that signed the server's, if you trust it"
        meant = Refused(ErrorCode.FORBIDDEN, "the server's certificate is not trusted.", mend)
    elif isinstance(error, MCPError) and error.message in STAND_INS and status is not None:
        meant = _meaning_of_status(status, known)
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


def _meaning_of_status(status: int, known: bool) -> Exception:
    if status >= 500 or status in (408, 425, 429) or (status == 404 and known):
        return Lost(f"HTTP status {status}")
    match status:
        case 401:
            mend = "pass --token or set POTLUCK_TOKEN; an operator gets one with `potluck token`"
            return Refused(ErrorCode.FORBIDDEN, "the server wants a valid token.", mend)
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
