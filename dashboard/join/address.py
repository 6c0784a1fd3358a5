"""Under which URL the visitor reaches this server: that is what others can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import gradio as gr


def base_of(request: gr.Request) -> str:
    """What stands before `/mcp`, e.g. `https://fl.example.org/potluck`.

    The host is the one that was dialled, which the server has checked against its own names. The scheme is the
    connection's, or what a proxy says that the server trusts; the path is the server's `base_path`.
    """
    return base_of_scope(request.request.scope if request.request is not None else {})


def base_of_scope(scope: Mapping[str, Any]) -> str:
    """The same for an ASGI scope."""
    headers = {name.lower(): value for name, value in scope.get("headers", ())}
    host = headers.get(b"host", b"").decode("latin-1")
    if not host:
        name, port = scope.get("server") or ("127.0.0.1", 7860)
        host = f"{name}:{port}" if port else str(name)
    root = str(scope.get("root_path") or "").rstrip("/")
    return f"{scope.get('scheme', 'http')}://{host}{root}"


def is_local(base: str) -> bool:
    """Whether only this machine can reach that address."""
    host = urlsplit(base).hostname or ""
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d+){3}", host))
