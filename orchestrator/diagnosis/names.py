"""Names that strangers chose, shown as what they are: data. Nothing in them is Markdown, HTML or an instruction."""

from __future__ import annotations

LONGEST = 40
"""Characters of a name that are shown."""


def plain(text: str, longest: int = LONGEST) -> str:
    """One line of printable characters, cut in length. Marks that turn the direction of writing are not printable."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def quoted(text: str, longest: int = LONGEST) -> str:
    """The text as a Markdown code span. Only a back-tick has a meaning there, and that becomes an apostrophe."""
    return f"`{plain(text, longest).replace('`', chr(39)) or '(no name)'}`"
