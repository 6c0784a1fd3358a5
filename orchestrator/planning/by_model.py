"""Planning by a language model. What it may decide is bounded here, not by what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from federation.aggregation.methods import METHODS
from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, in_a_sentence
from orchestrator.llm.budget import Budget
from orchestrator.llm.model import LanguageModel
from orchestrator.llm.structured import structured
from orchestrator.planning.by_rules import plan_by_rules
from orchestrator.planning.checking import check
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.choices.simulation import simulation_of
from orchestrator.planning.material import SYSTEM, answer_schema, on_the_hub, question
from orchestrator.planning.plan import Plan, Reason
from orchestrator.planning.reading.goal import read
from orchestrator.planning.reading.wishes import Wishes
from orchestrator.planning.unmet import unmet
from resources import search
from resources.workload import Workload

_SAID = "you said “"
_OURS = ("name", "description")


class _Why(BaseModel):
    field: str = Field(max_length=80)
    why: str = Field(max_length=600)


class _Answer(BaseModel):
    """What the model answers, before the spec in it is checked."""

    spec: dict[str, Any]
    reasons: list[_Why] = Field(default=[], max_length=100)
    notes: list[str] = Field(default=[], max_length=40)
    simulate: bool = False


async def plan(
    goal: str,
    workload: Workload,
    *,
    spec: Mapping[str, Any] | None = None,
    model: LanguageModel | None,
    budget: Budget,
    nodes: int = 0,
) -> Plan:
    """A plan by the model, if there is one, and else, or when it fails, by the rules.

    Whatever the model says: the plan passes the check of validate_task, what the person named outright stays, or
    becomes another number that the person wrote beside it and no rule understood, whoever asked for a robust rule gets
    one, repositories are those that the person named or the Hub's search listed, name and description are not of the
    model's making, a simulation's attack is the person's, and a goal that cannot be met stays one.

    Args:
        nodes: how many have shaken hands.
    """
    by_rules = await asyncio.to_thread(plan_by_rules, goal, workload, spec)
    if model is None:
        return by_rules
    hub = await asyncio.to_thread(on_the_hub, goal)
    bounds = _Bounds(by_rules, read(goal), workload, hub)
    try:
        return await structured(
            model,
            question(goal, spec, by_rules, bounds.kept, bounds.in_doubt, hub, nodes),
            system=SYSTEM,
            schema=answer_schema(),
            check=bounds.taken,
            budget=budget,
        )
    except Refused as refused:
        mend = f"{refused.mend[:1].upper()}{refused.mend[1:]}"
        note = f"{model.name} did not plan, so the rules did: {refused.problem} {mend}."
        return replace(by_rules, notes=(note, *by_rules.notes))


class _Bounds:
    """What an answer has to keep to."""

    def __init__(self, by_rules: Plan, wishes: Wishes, workload: Workload, hub: search.Found) -> None:
        self._by_rules = by_rules
        self._wishes = wishes
        self._workload = workload
        self.kept = {each.field: each.value for each in by_rules.reasons if each.why.startswith(_SAID)}
        self.in_doubt = {
            each.field: doubts
            for each in by_rules.reasons
            if each.field in self.kept and (doubts := _doubts(each, wishes))
        }
        before = Draft(by_rules.spec)
        named = {before.get("model.id"), before.get("data.id")}
        self._repositories = named | {f"hf:{hit.id.removeprefix('hf:')}" for hit in hub.hits if hit.trainable}

    def taken(self, data: Any) -> Plan:
        """The plan in an answer. ValueError or Refused say what is wrong with it, for the model to mend."""
        try:
            answer = _Answer.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        draft = Draft(answer.spec)
        ours = {each.field: each for each in self._by_rules.reasons}
        for field in _OURS:
            if field in ours or field in self._by_rules.spec:
                draft.put(field, self._by_rules.spec.get(field), "")
        checked = check(draft.spec, self._workload)
        if checked.problems or checked.spec is None:
            mend = "; ".join(f"{each.field}: {each.mend}" for each in checked.problems)
            raise Refused(ErrorCode.INVALID_SPEC, in_a_sentence(checked.problems), mend)
        self._check_kept(draft)
        self._check_rule(checked.spec)
        self._check_repositories(draft)
        reasons = [*(ours[field] for field in _OURS if field in ours), *self._reasons(answer, draft)]
        notes = (*self._replaced(draft), *(note[:600] for note in answer.notes))
        simulated = answer.simulate and not draft.pretrained and draft.get("data.id") != "own"
        simulation = simulation_of(draft, self._wishes) if simulated else None
        problems = unmet(self._wishes, draft)
        return Plan(draft.spec, tuple(reasons), problems, checked.budget, "gemini", notes, simulation)

    def _check_kept(self, draft: Draft) -> None:
        for field, value in self.kept.items():
            if draft.get(field) != value and draft.get(field) not in self.in_doubt.get(field, ()):
                raise ValueError(f"{field} has to be {value!r}: the person named it")

    def _replaced(self, draft: Draft) -> list[str]:
        """Says of each number that gave way to another of the person's that it did."""
        return [
            f"{field}: {draft.get(field)} was taken, and not {value}; the goal has both numbers, and the model chose."
            for field, value in self.kept.items()
            if draft.get(field) != value
        ]

    def _check_rule(self, spec: TaskSpec) -> None:
        """Robustness that was asked for, and what it stands on, is not given away."""
        wanted, options = self._by_rules.spec.get("aggregation") or {}, spec.aggregation.options
        if not METHODS[str(wanted.get("rule", "fedavg"))].robust:
            return
        if not METHODS[spec.aggregation.rule].robust:
            raise ValueError(f"aggregation.rule {spec.aggregation.rule} withstands no attacker; choose a robust one")
        f = (wanted.get("options") or {}).get("f")
        if f is not None and options.get("f", 0) < f:
            raise ValueError(f"aggregation.options.f has to be at least {f}")

    def _check_repositories(self, draft: Draft) -> None:
        for field in ("model.id", "data.id"):
            id = str(draft.get(field))
            if id.startswith("hf:") and id not in self._repositories:
                raise ValueError(f"{field}: {id} is neither the person's choice nor among the search results")

    def _reasons(self, answer: _Answer, draft: Draft) -> list[Reason]:
        """The model's, of fields that the spec has; a field that was named has the person's words as its reason."""
        ours = {each.field: each for each in self._by_rules.reasons}
        whys = {each.field: each.why for each in answer.reasons}
        fields = [*self.kept, *(field for field in whys if field not in self.kept and field not in _OURS)]
        return [
            ours[field]
            if draft.get(field) == self.kept.get(field, ours)
            else Reason(field, draft.get(field), whys.get(field, f"you wrote {draft.get(field)!r} too"))
            for field in fields
            if draft.get(field) is not None
        ]


def _doubts(reason: Reason, wishes: Wishes) -> tuple[int | float, ...]:
    """Other numbers that the person may have meant: named for the same field, or in the same clause and not understood.

    A denied number is understood, and so is one that another field was given: neither is among them.
    """
    if isinstance(reason.value, bool) or not isinstance(reason.value, int | float):
        return ()
    words = reason.why.removeprefix(_SAID).partition("”")[0]
    beside = {value for clause, values in wishes.unread if words in clause for value in values}
    return tuple(sorted(beside.union(wishes.contradicted.get(reason.field, ()))))
