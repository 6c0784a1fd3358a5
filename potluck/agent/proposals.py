"""What the agent would do about what it sees: pure functions of a task and its findings. Nothing here is done yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.diagnosis.facts import Finding
from orchestrator.diagnosis.names import plain

SLOWER = 3.0
"""By so much a successor's learning rate is lower."""
MOST_SUCCESSORS = 2
EARLY = 2
"""Void rounds in a row after which nodes are waited for in peace."""

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Proposal:
    """Calls to make, if the person agrees.

    Attributes:
        key: the same proposal has the same, so that it is made once.
        why: what shows that it is called for.
        what: what would be done, for a question.
        calls: tools with their arguments, in order.
        successor: the spec of a task to make in this one's place.
    """

    key: str
    why: str
    what: str
    calls: tuple[Call, ...] = field(default=())
    successor: Mapping[str, Any] | None = None


def proposals(
    task: Mapping[str, Any],
    findings: Sequence[Finding],
    *,
    settled: Sequence[str],
    generation: int,
    way_back: int | None = None,
) -> list[Proposal]:
    """What is called for and was not proposed before. `way_back`: the best version before training diverged."""
    found = [
        *_of_divergence(task, findings, settled, generation, way_back),
        *_of_plateau(task, findings),
        *_of_voids(task),
    ]
    return [each for each in found if each.key not in settled]


def resume(task: Mapping[str, Any]) -> Proposal:
    """To go on with a task that is paused."""
    why = f"the task is paused: {plain(str(task['reason']), 300)}" if task["reason"] else "the task is paused"
    return Proposal(f"resume-{task['task_id']}-{task['round']}", why, "resume it", (_control(task, "resume"),))


def close_early(task: Mapping[str, Any], waited_s: float) -> Proposal | None:
    """To close a round whose quorum is in and whose last updates do not come; None where there is none such."""
    if not held_up(task):
        return None
    last = task["rounds"][-1]
    number = int(last["round"])
    missing = [str(each["name"] or each["node_id"]) for each in task["nodes"] or () if _owes(each)]
    who = ", ".join(repr(plain(name)) for name in missing[:5])
    why = (
        f"round {number} has {last['submitted']} of {last['selected']} updates, its quorum of {last['quorum']} is in, "
    )
    why += f"and for {waited_s:.0f} s nothing came" + (f" from {who}" if who else "")
    what = f"close round {number} now, over what has arrived"
    call = ("aggregate_round", {"task_id": task["task_id"], "round": number})
    return Proposal(f"aggregate-{task['task_id']}-{number}", why, what, (call,))


def held_up(task: Mapping[str, Any]) -> bool:
    """Whether a round has its quorum and waits for more."""
    if task["state"] != "running" or not task["rounds"] or task.get("simulation"):
        return False
    last = task["rounds"][-1]
    enough = last["quorum"] is not None and last["submitted"] >= last["quorum"]
    return last["state"] == "collecting" and enough and last["submitted"] < last["selected"]


def slower(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with a lower learning rate, named for it."""
    training = dict(spec["training"])
    training["learning_rate"] = float(f"{training['learning_rate'] / SLOWER:.3g}")
    name = f"{str(spec['name']).removesuffix(' (slower)')[:70]} (slower)"
    return dict(spec) | {"name": name, "training": training}


def _of_divergence(
    task: Mapping[str, Any],
    findings: Sequence[Finding],
    settled: Sequence[str],
    generation: int,
    way_back: int | None,
) -> list[Proposal]:
    found = next((each for each in findings if each.kind == "diverging"), None)
    if found is None or task["state"] not in ("paused", "finished"):
        return []
    key = f"roll-back-{task['task_id']}"
    simulated_scaffold = bool(task.get("simulation")) and task["spec"]["aggregation"]["rule"] == "scaffold"
    goes_back = way_back is not None and not simulated_scaffold
    if task["state"] == "paused" and goes_back and key not in settled:
        calls = (_control(task, "roll_back", version=way_back), _control(task, "resume"))
        return [Proposal(key, found.text, f"roll back to version {way_back}, the best before, and resume", calls)]
    if generation >= MOST_SUCCESSORS:
        return []
    spec = slower(task["spec"])
    rate, before = spec["training"]["learning_rate"], task["spec"]["training"]["learning_rate"]
    cancel = () if task["state"] == "finished" else (_control(task, "cancel"),)
    what = f"make a successor with training.learning_rate {rate} in place of {before}"
    what = f"cancel this task, and {what}" if cancel else what
    return [Proposal(f"slower-{task['task_id']}", found.text, what, cancel, spec)]


def _of_plateau(task: Mapping[str, Any], findings: Sequence[Finding]) -> list[Proposal]:
    found = next((each for each in findings if each.kind in ("plateau", "worsening")), None)
    goes_on = task["state"] == "running" and task["round"] < task["num_rounds"]
    if found is None or not goes_on or task["spec"]["stopping"]["patience"] is not None:
        return []
    left = task["num_rounds"] - task["round"]
    what = f"cancel the task, whose {left} further rounds would bring little; its versions stay"
    return [Proposal(f"stop-{task['task_id']}", found.text, what, (_control(task, "cancel"),))]


def _of_voids(task: Mapping[str, Any]) -> list[Proposal]:
    late = [each for each in task["rounds"] if each["state"] in ("closed", "void")][-EARLY:]
    if task["state"] != "running" or len(late) < EARLY or any(each["state"] == "closed" for each in late):
        return []
    why = f"rounds {late[0]['round']} and {late[-1]['round']} are void: {plain(str(late[-1]['reason']), 200)}"
    what = "pause the task, so that no further rounds are spent until nodes are there"
    return [Proposal(f"pause-{task['task_id']}", why, what, (_control(task, "pause"),))]


def _control(task: Mapping[str, Any], action: str, **more: Any) -> Call:
    return ("control_task", {"task_id": task["task_id"], "action": action} | more)


def _owes(member: Mapping[str, Any]) -> bool:
    return bool(member["in_cohort"]) and not member["submitted"]
