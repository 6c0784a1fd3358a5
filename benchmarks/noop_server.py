"""Potluck with one more tool, which does nothing: `python -m benchmarks.noop_server serve …`."""

from __future__ import annotations

import tools.catalogue
from benchmarks.bare_mcp import noop
from tools.contract import ANYONE, Entry


def main() -> None:
    """`potluck`, its catalogue of tools longer by one."""
    tools.catalogue.TOOLS = (*tools.catalogue.TOOLS, Entry(noop, "No-op", ANYONE))
    from potluck.cli import main as potluck  # the server reads the catalogue when it is imported

    potluck()


if __name__ == "__main__":
    main()
