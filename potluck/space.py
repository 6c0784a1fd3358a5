"""Potluck as a Hugging Face Space: the same server, with settings from the Space's own variables."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger("potluck")

STORAGE = Path("/data")
"""Where a Space mounts storage that outlives a restart, if it has any."""
_PROXIES = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
"""Private networks: nobody reaches a Space but through Hugging Face's proxy, which has an address there."""


def main() -> None:
    """Serve until stopped; outside a Space like `potluck serve`, on 127.0.0.1:7860."""
    from mcp_server.run import serve
    from potluck.pages import pages_for
    from potluck.serve import settings_from

    inside = "SPACE_ID" in os.environ
    signs_in = inside and "OAUTH_CLIENT_ID" in os.environ
    if inside:
        os.environ.setdefault("SYSTEM", "spaces")  # by this, Gradio knows that a sign-in is a real one
    settings = settings_from(space_settings(os.environ) if inside else {}, None)
    serve(settings, pages_for=pages_for(settings, hub_sign_in=signs_in, at_once=True))


def space_settings(variables: Mapping[str, str], storage: Path = STORAGE) -> dict[str, Any]:
    """The settings of a Space: what its variables say, unless a POTLUCK_... variable says otherwise.

    Args:
        variables: SPACE_HOST (host names, with commas between them where it has a domain of its own) and
            SPACE_AUTHOR_NAME, among others.
        storage: the folder of lasting storage, where it is one that can be written to.
    """
    names = [name.strip() for name in variables.get("SPACE_HOST", "").split(",") if name.strip()]
    owner = variables.get("SPACE_AUTHOR_NAME", "").strip()
    chosen: dict[str, Any] = {
        "host": "0.0.0.0",  # noqa: S104 - the only way out of a container
        "port": 7860,
        "allow_host": [host.partition(":")[0] for host in names],
        "trusted_proxies": _PROXIES,
        "operators": [owner] if owner else [],
        "check_clients": False,  # no code of strangers' wishes runs on a server that everybody may reach
    }
    if storage.is_dir() and os.access(storage, os.W_OK):
        chosen["data_dir"] = storage / "potluck"
    return {name: value for name, value in chosen.items() if f"POTLUCK_{name.upper()}" not in variables}
