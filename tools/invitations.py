"""Invitations: a node's token as a link that a browser tab opens, and as a QR code for a phone's camera."""

from __future__ import annotations

import io
from urllib.parse import quote, urlsplit

from federation.errors import ErrorCode, Refused
from tools.context import Potluck

MOST_BASE_URL = 255


def invitation(token: str) -> str:
    """The link, relative to the server's base URL. A browser keeps what follows `#` to itself: the token is in no
    request, so in no log of a server or proxy."""
    return f"edge/#invite={quote(token, safe='')}"


def checked_base(state: Potluck, url: str) -> str:
    """A base URL that leads to this server, without a slash, `/mcp` or `/sse` at its end.

    Raises:
        Refused: it is none. A link with a token in it must not lead elsewhere.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not plain or "?" in url or "#" in url or not parts.hostname:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            "base_url is no http(s) URL of a server.",
            "give what stands before /mcp in the server's address, e.g. https://fl.example.org/potluck",
        )
    if not state.is_called(parts.netloc):
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"base_url leads to {parts.netloc!r}, which is no name of this server, and the link has a token in it.",
            "use a name that it answers to; an operator adds names with --allow-host",
        )
    return url.rstrip("/").removesuffix("/mcp").removesuffix("/sse").rstrip("/")


def qr_svg(link: str) -> str:
    """The link as an SVG picture, black on white with the quiet zone that cameras need."""
    import segno

    picture = io.BytesIO()
    code = segno.make_qr(link, error="m")
    code.save(picture, kind="svg", omitsize=True, light="#fff", xmldecl=False, nl=False, svgclass=None, lineclass=None)
    return picture.getvalue().decode()
