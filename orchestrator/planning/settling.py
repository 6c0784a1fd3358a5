"""A draft made fit: what the check finds wrong is changed where that is no choice of anyone's, and said."""

from __future__ import annotations

import re
from collections.abc import Callable

from federation.errors import Refused
from federation.spec import Problem
from orchestrator.planning.checking import Checked, check
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.choices.rule import withstand
from orchestrator.planning.reading.wishes import Wishes
from resources.workload import Workload

_ROUNDS = 16
_REQUIRED = ("name", "model", "model.id", "data", "data.id")
_OF_TEXTS = ("data.text", "training.accumulation", "training.gradient_checkpointing")
_OF_PRETRAINED = ("model.lora", "model.dtype", "model.task", "model.revision", "model.gguf")
_OF_OWN = ("data.input_shape", "data.num_classes")


def settle(draft: Draft, wishes: Wishes, workload: Workload) -> Checked:
    """The check of the draft once there is nothing left in it that can be mended without asking. Blocks."""
    for _ in range(_ROUNDS):
        checked = checked_or_said(draft, workload)
        if not any(_mended(draft, wishes, problem) for problem in checked.problems):
            return checked
    return checked_or_said(draft, workload)


def checked_or_said(draft: Draft, workload: Workload) -> Checked:
    """The check; what refuses in it is a problem like others."""
    try:
        return check(draft.spec, workload)
    except Refused as refused:
        return Checked(None, (Problem(field="(spec)", problem=refused.problem, mend=refused.mend),), None)


def _mended(draft: Draft, wishes: Wishes, problem: Problem) -> bool:
    """Whether something was changed that may do away with the problem."""
    for field, mend in _MENDS.items():
        if problem.field == field or (field.endswith(".") and problem.field.startswith(field)):
            before = repr(draft.spec)
            done = mend(draft, wishes, problem)
            if repr(draft.spec) != before:
                _note(draft, problem.field, f"{problem.problem.rstrip('.')}; {done}.")
                return True
    return _dropped(draft, problem)


def _note(draft: Draft, field: str, said: str) -> None:
    """Says what was changed; of several steps towards one end, the last."""
    if draft.notes and draft.notes[-1].startswith(f"{field}: "):
        draft.notes.pop()
    draft.notes.append(f"{field}: {said}")


def _dropped(draft: Draft, problem: Problem) -> bool:
    """A field whose value no task can have is left to its default."""
    value = draft.get(problem.field)
    if value is None or problem.field in _REQUIRED or isinstance(value, dict):
        return False
    draft.drop(problem.field)
    said = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:60]}…"
    draft.notes.append(
        f"{problem.field}: {said} is not possible ({problem.problem.rstrip('.')}); its default is taken."
    )
    return True


def _plain_sgd(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    draft.put("training.momentum", 0.0, f"{draft.get('aggregation.rule', 'fedavg')} and the optimiser go without")
    return "momentum is 0"


def _sgd(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    draft.put("training.optimizer", "sgd", f"{draft.get('aggregation.rule')} needs it")
    return "the optimiser is sgd"


def _fewer_examples(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    least, smallest = int(draft.get("data.partition.min_examples", 10)), "the smallest" in problem.problem
    if least > 1:
        draft.put("data.partition.min_examples", max(1, least // 3), "the smallest share would hold fewer than 10")
        return "shares may be smaller"
    alpha = float(draft.get("data.partition.alpha", 0.5))
    if smallest and draft.get("data.partition.kind") == "dirichlet" and alpha < 8:
        draft.put("data.partition.alpha", round(2 * alpha, 6), "no cut with less has an example for every node")
        return "the cut is less skewed"
    return ""


def _quorum(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    withstand(draft, wishes)
    return "the quorum follows"


def _cohort(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    if draft.get("cohort.size") is not None and draft.get("cohort.fraction") is not None:
        draft.drop("cohort.fraction")
        return "the size stands"
    for field in ("cohort.quorum", "cohort.candidates"):
        if draft.get(field) is not None:
            draft.drop(field)
            return f"{field} is left to its default"
    return ""


def _steps(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    draft.drop("training.accumulation")
    return "accumulation is left out"


def _tokens(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    most = re.search(r"at most (\d{1,6})$", problem.mend)
    if most:
        draft.put("data.text.max_length", int(most[1]), "the most that the model takes")
    return "so many are taken"


def _drop(*fields: str) -> Callable[[Draft, Wishes, Problem], str]:
    def mend(draft: Draft, wishes: Wishes, problem: Problem) -> str:
        gone = [field for field in fields if draft.get(field) is not None]
        for field in gone:
            draft.drop(field)
        return f"{', '.join(gone)} left out"

    return mend


def _of_the_whole(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    if draft.pretrained:
        return _drop("stopping.target_accuracy", *_OF_OWN[:1])(draft, wishes, problem)
    return _drop(*_OF_TEXTS)(draft, wishes, problem)


def _of_model(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    return _drop(*(("model.options",) if draft.pretrained else _OF_PRETRAINED))(draft, wishes, problem)


def _of_data(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    out_of_place = ("data.text",) if draft.get("data.id") == "own" else _OF_OWN
    if any(draft.get(field) is not None for field in out_of_place):
        return _drop(*out_of_place)(draft, wishes, problem)
    return _fewer_examples(draft, wishes, problem)


def _rule(draft: Draft, wishes: Wishes, problem: Problem) -> str:
    usual = "lora_exact" if draft.pretrained else "fedavg"
    draft.put("aggregation.rule", usual, "the rule before does not go with this model")
    draft.drop("aggregation.options")
    return f"{usual} is taken"


_MENDS: dict[str, Callable[[Draft, Wishes, Problem], str]] = {
    "training.momentum": _plain_sgd,
    "training.optimizer": _sgd,
    "training": _steps,
    "data.partition": _fewer_examples,
    "cohort.quorum": _quorum,
    "cohort": _cohort,
    "data.text.max_length": _tokens,
    "model": _of_model,
    "model.options.": _drop("model.options"),
    "data": _of_data,
    "(spec)": _of_the_whole,
    "aggregation.rule": _rule,
}
