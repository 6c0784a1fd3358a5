"""The documentation as data: sections, tables, code blocks and anchors of Markdown pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(path: str) -> str:
    """A page's text; `path` is relative to the checkout."""
    return (ROOT / path).read_text(encoding="utf-8")


def page_paths() -> list[str]:
    """Every page of the documentation, relative to the checkout."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    code: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(language, code) for language, code in _FENCE.findall(text)]


def prose(text: str) -> str:
    """The page without its fenced blocks, in which `#` is no heading."""
    return _FENCE.sub("", text)


def headings(text: str, level: int) -> list[str]:
    """Headings of one level."""
    return re.findall(rf"^{'#' * level} (.+)$", prose(text), re.MULTILINE)


def section(text: str, heading: str) -> str:
    """What stands between a heading and the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"there is no section {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def table(text: str, first_heading: str) -> dict[str, list[str]]:
    """The rows of all tables whose first column is called so, by their first cell, without its back-ticks."""
    rows: dict[str, list[str]] = {}
    inside = False
    for line in prose(text).splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[0] == first_heading:
            inside = True
        elif inside and not set(line) <= set("|-: "):
            assert cells[0] not in rows, f"{cells[0]} is documented twice"
            rows[cells[0].strip("`")] = cells[1:]
    return rows


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(plain)
    return found
