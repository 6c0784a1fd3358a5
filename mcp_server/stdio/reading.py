"""What a line from the host is, told before anything relies on it."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from mcp_types import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR


class Malformed(Exception):
    """A line that cannot be passed on: the error that answers it, and the request that it is, if it is one."""

    def __init__(self, code: int, problem: str, request_id: str | int | None = None) -> None:
        super().__init__(problem)
        self.code = code
        self.request_id = request_id


def is_id(value: object) -> TypeGuard[str | int]:
    """Whether MCP allows this as the id of a request."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def read_message(line: str) -> dict[str, Any]:
    """The message that a line carries.

    Raises:
        Malformed: it carries none.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed(PARSE_ERROR, "this line is not JSON. Mend: one message a line") from None
    if not isinstance(message, dict):
        raise Malformed(INVALID_REQUEST, "this is no JSON-RPC message. Mend: one object a line, no batches")
    if "method" not in message:
        if "result" in message or "error" in message:
            return message
        raise Malformed(INVALID_REQUEST, "this is no JSON-RPC message. Mend: give a method, a result or an error")
    if not isinstance(message["method"], str):
        raise Malformed(INVALID_REQUEST, "the method is no string. Mend: name one")
    request_id = message.get("id")
    if "id" in message and not is_id(request_id):
        raise Malformed(INVALID_REQUEST, "the id of a request is a string or an integer. Mend: give it such an id")
    if not isinstance(message.get("params"), dict | None):
        raise Malformed(INVALID_PARAMS, "the params are no object. Mend: give them by name", request_id)
    return message
