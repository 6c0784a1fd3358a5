"""What the browser node's page may do, and who may show it in a frame: headers of every answer below /edge."""

from __future__ import annotations

import base64
import hashlib
import os
import re

from mcp_server.settings import Settings

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")


def policies(settings: Settings, styles: str = "'self'") -> dict[str, str]:
    """The headers. Everything is the server's own: no script, font, picture or connection from or to anywhere else.

    Cross-origin isolation costs nothing here, and lets the page measure its memory and time finely.
    """
    directives = {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'",
        "style-src": styles,
        "worker-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data: blob:",
        "font-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": " ".join(framers(settings)),
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in directives.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def framers(settings: Settings) -> list[str]:
    """Who may show the page in a frame: this server, the origins that may call it, and in a Hugging Face Space the site
    that shows every Space in a frame. Anyone else could lay it under a button of their own."""
    space = ["https://huggingface.co"] if os.environ.get("SPACE_ID") else []
    return ["'self'", *(origin for origin in settings.allow_origin if _ORIGIN.fullmatch(origin)), *space]


def style_hashes(page: str) -> str:
    """The `style-src` of a page that carries its own styles: their hashes, and nothing else."""
    found = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
