"""A spec that is there, changed where the words say so and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federation.aggregation.methods import METHODS
from orchestrator.planning.choices.crowd import at_most, choose_skew
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.choices.rule import choose_rule, withstand
from orchestrator.planning.choices.subject import choose_subject
from orchestrator.planning.choices.training import apply_changes, choose_deadline, choose_ending
from orchestrator.planning.reading.wishes import Stated, Wishes

_SUBJECT = ("model.options.", "model.lora.", "model.dtype", "data.text.")


def edited(spec: Mapping[str, Any], wishes: Wishes) -> Draft:
    """The spec with the wishes in it. Everything that was not spoken of stays as it is."""
    draft = Draft(spec)
    if _another_subject(draft, wishes):
        _keep_subject(draft, wishes)
        choose_subject(draft, wishes)
    _edit_crowd(draft, wishes)
    _edit_rule(draft, wishes)
    for path, stated in wishes.stated.items():
        if not path.startswith("aggregation.options.") and path != "stopping.target_accuracy":
            draft.put(path, stated.value, stated.why)
    if wishes.name:
        draft.put("name", wishes.name, f"you named it “{wishes.name}”")
    apply_changes(draft, wishes)
    choose_ending(draft, wishes)
    if wishes.total_s is not None or "deadline_s" in wishes.stated:
        choose_deadline(draft, wishes)
    if not draft.reasons:
        draft.notes.append("Nothing in these words changes the spec.")
    return draft


def _another_subject(draft: Draft, wishes: Wishes) -> bool:
    data = wishes.data is not None and wishes.data.value != draft.get("data.id")
    model = wishes.model is not None and wishes.model.value != draft.get("model.id")
    return data or model


def _keep_subject(draft: Draft, wishes: Wishes) -> None:
    """What is not spoken of is as if it had been said: the spec says it."""
    data, model = draft.get("data.id"), draft.get("model.id")
    if wishes.data is None and data is not None:
        wishes.data = Stated(data, f"{data}, as before")
        wishes.shape = wishes.shape or tuple(draft.get("data.input_shape") or ()) or None
        wishes.classes = wishes.classes or draft.get("data.num_classes")
        wishes.texts = wishes.texts or (data == "own" and draft.get("data.text") is not None)
    if wishes.model is None and model is not None and wishes.data is not None and wishes.data.value == data:
        wishes.model = Stated(model, f"{model}, as before")
    for path in ("data.input_shape", "data.num_classes", "data.text", "model.options", "model.lora", "model.task"):
        draft.drop(path)


def _edit_crowd(draft: Draft, wishes: Wishes) -> None:
    before = draft.get("cohort.size")
    if wishes.nodes is not None:
        nodes = at_most(draft, max(1, int(wishes.nodes.value)))
        draft.put("cohort.size", nodes, wishes.nodes.why)
        draft.drop("cohort.fraction")
        if draft.get("data.id") != "own":
            draft.put("data.partition.parts", nodes, "a share of the data for each")
    if wishes.per_round is not None:
        draft.put("cohort.size", max(1, int(wishes.per_round.value)), wishes.per_round.why)
        draft.drop("cohort.fraction")
    elif wishes.share is not None:
        parts = int(draft.get("data.partition.parts", 4))
        draft.put("cohort.size", max(1, round(float(wishes.share.value) * parts)), f"{wishes.share.why}, of {parts}")
        draft.drop("cohort.fraction")
    if (wishes.skew is not None or wishes.skew_kind is not None) and draft.get("data.id") != "own":
        draft.drop("data.partition.users")
        choose_skew(draft, wishes)
    robust = METHODS.get(str(draft.get("aggregation.rule")))
    if draft.get("cohort.size") != before and robust is not None and robust.robust and wishes.robust is None:
        withstand(draft, wishes)


def _edit_rule(draft: Draft, wishes: Wishes) -> None:
    options = [path for path in wishes.stated if path.startswith("aggregation.options.")]
    now = METHODS.get(str(draft.get("aggregation.rule", "fedavg")))
    if wishes.rules or (wishes.robust and not (now and now.robust)) or (options and now is None):
        draft.drop("aggregation.options")
        choose_rule(draft, wishes)
    elif wishes.robust and now is not None:
        f = draft.get("aggregation.options.f")
        if wishes.attackers is None and wishes.attacker_share is None:
            raised = 2 if f is None else int(f) + 1
            wishes.attackers = Stated(raised, f"more robust: f was {'1' if f is None else f}")
        withstand(draft, wishes)
    elif wishes.robust is False and now is not None and now.robust:
        draft.drop("aggregation.options")
        draft.put(
            "aggregation.rule", "lora_exact" if draft.pretrained else "fedavg", "you said that it need not be robust"
        )
    elif options and now is not None:
        for path in options:
            name, stated = path.rpartition(".")[2], wishes.stated[path]
            if name in now.options.model_fields:
                draft.put(path, float(stated.value), stated.why)
            else:
                draft.notes.append(f"“{stated.words}”: {now.name} has no option {name}; left out.")
