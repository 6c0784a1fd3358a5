"""Small pieces of HTML. What they are given as `…_html` is markup already; everything else is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Literal

from dashboard.desk import Refusal
from dashboard.words import said

Tone = Literal["good", "wait", "bad", "busy", ""]

_TONES: dict[str, Tone] = {
    "created": "",
    "running": "busy",
    "paused": "wait",
    "finished": "good",
    "cancelled": "bad",
    "open": "wait",
    "collecting": "busy",
    "aggregating": "busy",
    "closed": "good",
    "void": "bad",
}


def chip(text: object, tone: Tone = "") -> str:
    """A word or two, with a dot in a tone."""
    mark = f' data-tone="{tone}"' if tone else ""
    return f'<span class="chip"{mark}>{said(text, 60)}</span>'


def state_chip(state: str) -> str:
    """The state of a task or a round."""
    return chip(state, _TONES.get(state, ""))


def heading(text: object, chips_html: str = "", level: int = 2) -> str:
    """A title, with chips beside it."""
    return f'<div class="heading"><h{level} class="cut">{said(text)}</h{level}>{chips_html}</div>'


def paragraph(text: object, kind: str = "small", most: int = 600) -> str:
    """A sentence of plain text."""
    return f'<p class="{kind}">{said(text, most)}</p>'


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Figures with their names: `(name, figure)`."""
    pairs = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(figure)}</dd></div>" for name, figure in figures)
    return f'<dl class="tiles">{pairs}</dl>'


def facts(pairs: Mapping[str, str]) -> str:
    """Names and texts, one pair a line."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{escape(name)}</dt><dd>{said(text, 600)}</dd>" for name, text in pairs.items())
        + "</dl>"
    )


def notice(title: str, text: object = "", tone: Tone = "wait") -> str:
    """Something to be noticed: what it is in a few words, and a sentence."""
    more = f"<p>{said(text, 900)}</p>" if text else ""
    return f'<div class="notice" data-tone="{tone}" role="status"><strong>{said(title)}</strong>{more}</div>'


def refused(refusal: Refusal) -> str:
    """What the server did not do, why, and how to mend it."""
    mend = f"<p>Mend: {said(refusal.mend, 600)}</p>" if refusal.mend else ""
    title = f"<strong>{said(refusal.code.replace('_', ' ').capitalize(), 60)}</strong>"
    return f'<div class="notice" data-tone="bad" role="alert">{title}<p>{said(refusal.problem, 900)}</p>{mend}</div>'


def empty(title: str, text: str = "") -> str:
    """What is said where there is nothing yet."""
    more = f'<p class="small">{escape(text)}</p>' if text else ""
    return f'<div class="empty"><p><strong>{escape(title)}</strong></p>{more}</div>'


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], words: frozenset[int] = frozenset()
) -> str:
    """A table that scrolls in its own frame. The first cell of a row names it; `words` are columns of running text.

    Args:
        rows: cells, as markup.
    """
    head = "".join(
        f'<th scope="col"{_words(place, words)}>{escape(column)}</th>' for place, column in enumerate(columns)
    )
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{_words(place, words)}>{cell}</td>" for place, cell in enumerate(row[1:], start=1))
        + "</tr>"
        for row in rows
    )
    label = escape(caption, quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _words(place: int, words: frozenset[int]) -> str:
    return ' class="words"' if place in words else ""
