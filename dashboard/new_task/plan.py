"""What plan_task answers, for people: the reasons for each choice, and what of the wish could not be met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.markup import notice, table
from dashboard.new_task.problems import listed
from dashboard.words import said as shown

GOAL = "(goal)"
"""What a problem is of that no field can mend."""

EXAMPLES = (
    "Recognise handwritten digits on 10 phones, each with its own handwriting",
    "Five hospitals, one of which may be compromised; stop at 95 % accuracy",
    "Adapt a small language model to Shakespeare, at most 20 minutes",
)


def plan(answer: Mapping[str, Any]) -> str:
    """The plan with its reasons, as HTML."""
    who = "Gemini" if answer.get("planner") == "gemini" else "rules: no language model is configured on this server"
    valid = "It can be started as it stands." if answer.get("valid") else "It needs your hand: see the problems below."
    said = notice(f"A plan, made by {who}", valid, tone="good" if answer.get("valid") else "wait")
    # Those of fields stand beside their controls; that the goal is another one is known to the plan alone.
    missed = [each for each in answer.get("problems") or () if each.get("field") == GOAL]
    said += listed("Another goal", missed, id="another-goal")
    reasons = [
        (_path(reason.get("field", "")), shown(_value(reason.get("value"))), shown(reason.get("why", ""), 600))
        for reason in answer.get("reasons") or ()
    ]
    if reasons:
        reasoned = table("Reasons of the plan", ("Field", "Chosen", "Why"), reasons, frozenset({0, 1, 2}))
        said += f'<div class="whole">{reasoned}</div>'
    notes = [str(note) for note in answer.get("notes") or ()]
    if answer.get("simulate"):
        notes.append("You asked for a trial without nodes: the tab Simulate runs it on this server.")
    if notes:
        said += '<ul class="notes">' + "".join(f"<li>{shown(note, 600)}</li>" for note in notes) + "</ul>"
    return said


def _path(field: object) -> str:
    """A field's path, which a narrow column breaks after dots only."""
    return '<span class="path">' + ".<wbr>".join(shown(part) for part in str(field).split(".")) + "</span>"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
