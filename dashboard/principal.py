"""Who looks at a page, and what the dashboard is handed of the server: nothing but MCP clients."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from mcp import Client


@dataclass(frozen=True)
class Principal:
    """What a visitor has shown. The server decides what that is worth, with every call anew.

    Attributes:
        token: a bearer token that was pasted.
        hub_user: the name under which the visitor has signed in at Hugging Face.
        address: where the visitor is, by which limits count.
        watcher: the dashboard itself, which listens for what changes, for all pages at once.
    """

    token: str | None = field(default=None, repr=False)
    hub_user: str | None = None
    address: str = ""
    watcher: bool = False


Connect = Callable[[Principal], AbstractAsyncContextManager[Client]]
"""A connected client that calls as a principal; raises PermissionError, with the mend, for a token that has ended."""
