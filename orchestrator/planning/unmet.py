"""Goals that no task here can meet: a plan for something else is a proposal, and no valid plan."""

from __future__ import annotations

from federation.spec import Problem
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.reading.wishes import Wishes
from resources.datasets import catalogue

GOAL = "(goal)"
"""The field of such a problem: it is the spec's nowhere."""


def unmet(wishes: Wishes, draft: Draft) -> tuple[Problem, ...]:
    """One problem for everything in the goal without which the plan is not what was asked for."""
    data = str(draft.get("data.id"))
    wanted = list(wishes.unmet)
    if wishes.data is None and data in {card.id for card in catalogue.datasets()}:
        wanted += wishes.unknown_data
    if not wanted:
        return ()
    said = f"the goal cannot be met. {' '.join(wanted)} What is planned instead: {draft.get('model.id')} on {data}"
    mend = "ask for what there is (search_models, search_datasets), or create this spec knowing that it is another task"
    return (Problem(field=GOAL, problem=said, mend=mend),)
