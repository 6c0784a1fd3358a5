"""What is said on the page, as HTML: strangers' text is text in it, whatever it looks like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Literal

from dashboard.desk import Refusal

Tone = Literal["good", "wait", "bad", "busy"]


def text(value: object, most: int = 2000) -> str:
    """A value as text in HTML. Braces and dollars are written as entities: Gradio fills templates where it sees them."""
    words = str(value)
    words = words if len(words) <= most else words[: most - 1] + "…"
    return escape(words).replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;").replace("`", "&#96;")


def notice(title: str, words: str = "", *, tone: Tone = "wait", role: str = "status") -> str:
    """A framed sentence or two, spoken by screen readers when it appears."""
    said = f"<p>{text(words)}</p>" if words else ""
    return f'<div class="notice" role="{role}" data-tone="{tone}"><strong>{text(title)}</strong>{said}</div>'


def refused(refusal: Refusal) -> str:
    """What the server would not do, and how to mend it."""
    return notice(refusal.problem, f"Mend: {refusal.mend}" if refusal.mend else "", tone="bad", role="alert")


def empty(title: str, words: str) -> str:
    """What stands where nothing is yet."""
    return f'<div class="empty"><p><strong>{text(title)}</strong></p><p class="small">{text(words)}</p></div>'


def problem(found: Mapping[str, Any], *, named: bool = False) -> str:
    """One problem of a spec and its mend; with its field where it does not stand beside it."""
    where = f"<code>{text(found.get('field', ''), 120)}</code>: " if named else ""
    mend = found.get("mend")
    mending = f' <span class="mend">Mend: {text(mend)}.</span>' if mend else ""
    return f"<p>{where}{text(str(found.get('problem', '')).removesuffix('.'))}.{mending}</p>"


def beside(problems: Iterable[Mapping[str, Any]]) -> str:
    """What stands below a control that holds a wrong value."""
    said = "".join(problem(each) for each in problems)
    return f'<div class="beside" role="alert">{said}</div>' if said else ""


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values; the values are strangers' text."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs)
    return f'<dl class="facts">{rows}</dl>'


def tiles(pairs: Iterable[tuple[str, object]]) -> str:
    """A few numbers that count."""
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="tiles">{rows}</dl>'


def table(head: Iterable[str], rows: Iterable[Iterable[object]], *, label: str, wordy: int = 1) -> str:
    """A table that scrolls by itself where it is too wide; the first `wordy` columns hold words."""
    top = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = ""
    for row in rows:
        cells = "".join(
            f'<td class="words">{text(cell)}</td>' if place < wordy else f"<td>{text(cell)}</td>"
            for place, cell in enumerate(row)
        )
        body += f"<tr>{cells}</tr>"
    inner = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}">{inner}</div>'
