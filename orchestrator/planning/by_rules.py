"""Planning without a language model: words are read by rules, and what they leave open is chosen by what is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.planning.choices.crowd import choose_crowd
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.choices.rule import choose_rule
from orchestrator.planning.choices.simulation import choose_simulation
from orchestrator.planning.choices.subject import choose_subject
from orchestrator.planning.choices.training import choose_training
from orchestrator.planning.editing import edited
from orchestrator.planning.plan import Plan
from orchestrator.planning.reading.goal import read
from orchestrator.planning.reading.wishes import Wishes
from orchestrator.planning.settling import checked_or_said, settle
from orchestrator.planning.unmet import unmet
from resources.workload import Workload


def plan_by_rules(goal: str, workload: Workload, spec: Mapping[str, Any] | None = None) -> Plan:
    """A plan for a goal in plain words, or a spec changed by them. Never raises for what the words say. Blocks.

    Args:
        goal: of which the first 2,000 characters are read.
        spec: to change; default: a new one.
    """
    wishes = read(goal)
    if spec is not None:
        was_sound = not checked_or_said(Draft(spec), workload).problems
        draft = edited(spec, wishes)
        checked = settle(draft, wishes, workload) if was_sound else checked_or_said(draft, workload)
    else:
        draft = drafted(wishes, goal)
        checked = settle(draft, wishes, workload)
    simulation = choose_simulation(draft, wishes)
    notes = (*wishes.notes, *draft.notes)
    problems = (*unmet(wishes, draft), *checked.problems)
    return Plan(draft.spec, draft.reasons, problems, checked.budget, "rules", notes, simulation)


def drafted(wishes: Wishes, goal: str) -> Draft:
    """A new spec, subject first: everything else depends on it."""
    draft = Draft()
    draft.put("name", "a plan", "")
    choose_subject(draft, wishes)
    choose_crowd(draft, wishes)
    choose_rule(draft, wishes)
    choose_training(draft, wishes)
    nodes = wishes.nodes.value if wishes.nodes is not None else draft.get("cohort.size")
    subject = draft.get("data.id") if draft.get("data.id") != "own" else str(draft.get("model.id")).rpartition("/")[2]
    if wishes.name:
        draft.put("name", wishes.name, f"you named it “{wishes.name}”")
    else:
        draft.put("name", f"{subject} on {nodes} {wishes.crowd_word}"[:80], "what is learned, and by whom")
    draft.put("description", _printable(goal)[:2000], "your own words")
    return draft


def _printable(text: str) -> str:
    """Without control characters, and without halves of characters that no UTF-8 has."""
    whole = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in whole).strip()
