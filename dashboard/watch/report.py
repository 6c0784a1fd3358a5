"""A summary of a training as markup. Its Markdown quotes strangers: what is not one of the few marks below is text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from dashboard.markup import Tone, chip, paragraph
from dashboard.watch.reading import Record
from dashboard.words import said, tame

_LONGEST = 6000
"""Characters of a line."""
_MEND = re.compile(r"\s*\*Mend:\*\s*")
_SPAN = re.compile(r"`([^`]*)`")
_STRONG, _STRESSED = re.compile(r"\*\*([^*]+)\*\*"), re.compile(r"\*([^*]+)\*")

_SEVERITIES: Mapping[str, tuple[str, Tone]] = {
    "problem": ("problem", "bad"),
    "warning": ("warning", "wait"),
    "info": ("to know", ""),
    "good": ("good", "good"),
}


def summarized(summary: Mapping[str, Any]) -> str:
    """What `summarize_training` answers: its text, in which each finding has its severity beside it; then the findings
    that the text says in other words, and what its numbers rest on."""
    text, findings = str(summary["text"]), list(summary.get("findings") or ())
    rest = [each for each in findings if tame(each.get("text"), _LONGEST) not in tame(text, _LONGEST)]
    writer = "from the numbers alone" if summary.get("writer") == "rules" else f"by {summary.get('writer')}"
    told = [f"Written {writer}.", *map(str, summary.get("notes") or ())]
    return (
        f'<div class="report">{markdown(text, findings)}{paragraph(" ".join(told))}'
        f"{_folded('The findings behind it', _list(map(_finding, rest)))}"
        f"{_folded('What each claim rests on', _claims(summary.get('claims') or ()))}</div>"
    )


def markdown(text: str, findings: Sequence[Record] = ()) -> str:
    """Headings, lists and paragraphs; `findings` lend their severity to the list's entries that begin like them."""
    found = []
    for kind, lines in groupby(text.splitlines(), _kind):
        if kind == "item":
            found.append(_list(_item(line.lstrip()[2:], findings) for line in lines))
        elif kind == "heading":
            found += [_heading(line) for line in lines]
        elif kind == "words":
            found.append(f"<p>{inline(' '.join(lines))}</p>")
    return "".join(found)


def inline(text: str) -> str:
    """A line: code spans, which hold names, and stressed words."""
    pieces = _SPAN.split(tame(text, _LONGEST))
    return "".join(
        f"<code><bdi>{escape(piece)}</bdi></code>" if place % 2 else _stressed(escape(piece))
        for place, piece in enumerate(pieces)
    )


def _kind(line: str) -> str:
    line = line.strip()
    if not line:
        return "gap"
    return "heading" if line.startswith("#") else "item" if line.startswith(("- ", "* ")) else "words"


def _heading(line: str) -> str:
    level = 3 if len(line) - len(line.lstrip("#")) <= 2 else 4
    return f"<h{level}>{inline(line.lstrip('#'))}</h{level}>"


def _item(line: str, findings: Sequence[Record]) -> str:
    text, *mend = _MEND.split(line, maxsplit=1)
    known = tame(text, _LONGEST)
    severity = next((each.get("severity") for each in findings if tame(each.get("text"), _LONGEST) == known), None)
    return _entry(str(severity or ""), text, mend[0] if mend else "")


def _finding(finding: Record) -> str:
    return _entry(str(finding.get("severity") or ""), str(finding.get("text") or ""), str(finding.get("mend") or ""))


def _entry(severity: str, text: str, mend: str) -> str:
    words, tone = _SEVERITIES.get(severity, (severity, ""))
    mark = f"{chip(words, tone)} " if words else ""
    mending = f'<div class="small"><b>Mend:</b> {inline(mend.rstrip(". "))}.</div>' if mend else ""
    return f"<li>{mark}{inline(text)}{mending}</li>"


def _claims(claims: Sequence[Record]) -> str:
    def entries() -> Iterator[str]:
        for claim, facts in groupby(claims, lambda each: str(each.get("claim"))):
            rests = "; ".join(
                f"{said(fact.get('metric'), 60)} = {said(fact.get('value'), 40)} ({said(fact.get('where'), 60)})"
                if fact.get("where")
                else f"{said(fact.get('metric'), 60)} = {said(fact.get('value'), 40)}"
                for fact in facts
            )
            yield f'<li>{inline(claim)}<div class="small">{rests}</div></li>'

    return _list(entries())


def _folded(title: str, entries: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{entries}</details>" if entries else ""


def _list(entries: Any) -> str:
    shown = "".join(entries)
    return f"<ul>{shown}</ul>" if shown else ""


def _stressed(escaped: str) -> str:
    return _STRESSED.sub(r"<em>\1</em>", _STRONG.sub(r"<strong>\1</strong>", escaped))
