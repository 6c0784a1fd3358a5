"""Problems of a spec as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dashboard.words import said

_NO_MEND = "none is needed"
"""How the mend of what is only to be known begins."""


def problem(found: Mapping[str, Any], *, named: bool = False) -> str:
    """One problem and its mend; with its field where it does not stand beside it."""
    where = f"<code>{said(found.get('field', ''), 120)}</code>: " if named else ""
    mend = str(found.get("mend") or "").removesuffix(".")
    mending = f' <span class="mend">Mend: {said(mend, 400)}.</span>' if mend else ""
    return f"<p>{where}{said(str(found.get('problem', '')).removesuffix('.'), 600)}.{mending}</p>"


def beside(problems: Iterable[Mapping[str, Any]]) -> str:
    """What stands below a control that holds a wrong value."""
    words = "".join(problem(each) for each in problems)
    return f'<div class="beside" role="alert">{words}</div>' if words else ""


def listed(title: str, problems: Iterable[Mapping[str, Any]], *, tone: str = "bad", id: str = "listed") -> str:
    """Problems, or warnings, each with its field; nothing where there are none."""
    words = "".join(problem(each, named=True) for each in problems)
    role = "alert" if tone == "bad" else "status"
    return (
        f'<div class="notice" id="{id}" role="{role}" data-tone="{tone}"><strong>{title}</strong>{words}</div>'
        if words
        else ""
    )


def remarks(warnings: Iterable[Mapping[str, Any]]) -> str:
    """Warnings that something can be done about, in a box of their own; the others as plain notes."""
    given = list(warnings)
    notes = [each for each in given if str(each.get("mend") or "").lower().startswith(_NO_MEND)]
    box = listed("Worth knowing", (each for each in given if each not in notes), tone="wait", id="warned")
    words = "".join(f"<li>{said(_note(each), 900)}</li>" for each in notes)
    return box + (f'<ul class="notes">{words}</ul>' if words else "")


def _note(warning: Mapping[str, Any]) -> str:
    problem = str(warning.get("problem", "")).removesuffix(".")
    more = str(warning["mend"])[len(_NO_MEND) :].lstrip(" :,;.").removesuffix(".")
    return "; ".join(f"{each[0].upper()}{each[1:]}" if not place else each for place, each in
                     enumerate(each for each in (problem, more) if each)) + "."  # fmt: skip
