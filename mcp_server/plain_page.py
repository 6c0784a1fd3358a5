"""Pages that stand where another one is missing, and say how to get it. They carry their look themselves."""

from __future__ import annotations

from pathlib import Path

_LOOK = Path(__file__).with_name("plain_page.css")


def plain_page(file: Path) -> str:
    """The page in `file`, with its look where it leaves room for it."""
    look = _LOOK.read_text(encoding="utf-8")
    return file.read_text(encoding="utf-8").replace("<style></style>", f"<style>\n{look}</style>")
