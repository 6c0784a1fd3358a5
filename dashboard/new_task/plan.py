"""What plan_task answers, for people: the reasons for each choice, and what of the wish could not be met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.said import notice, table, text

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
    reasons = [
        (str(reason.get("field", "")), _value(reason.get("value")), str(reason.get("why", "")))
        for reason in answer.get("reasons") or ()
    ]
    if reasons:
        said += table(("Field", "Chosen", "Why"), reasons, label="Reasons of the plan", wordy=3)
    notes = [str(note) for note in answer.get("notes") or ()]
    if answer.get("simulate"):
        notes.append("You asked for a trial without nodes: the tab Simulate runs it on this server.")
    if notes:
        said += '<ul class="notes">' + "".join(f"<li>{text(note)}</li>" for note in notes) + "</ul>"
    return said


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
