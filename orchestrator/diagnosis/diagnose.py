"""Everything that can be said of a training, the worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestrator.diagnosis import attendance, costs, learning, updates
from orchestrator.diagnosis.facts import Finding
from orchestrator.diagnosis.training import Training, View

ROUNDS_LOOKED_AT = 20
"""How many of the latest rounds are looked at update by update."""

_CHECKS: tuple[Callable[[Training], Iterator[Finding]], ...] = (
    learning.course,
    learning.over_fitting,
    learning.classes,
    attendance.void_rounds,
    attendance.waiting,
    attendance.drop_outs,
    attendance.stragglers,
    attendance.fairness,
    updates.drift,
    updates.outliers,
    updates.left_out,
    updates.dominance,
    updates.little_data,
    updates.adapters,
    costs.traffic,
    costs.privacy,
)
_ORDER = ("problem", "warning", "info", "good")


def diagnose(view: View, metrics: Sequence[View], rounds: Sequence[View]) -> list[Finding]:
    """The findings of a task.

    Args:
        view: as `get_task` answers.
        metrics: as `potluck://tasks/{task_id}/metrics` gives.
        rounds: as `potluck://tasks/{task_id}/rounds/{round}` gives, of the latest `ROUNDS_LOOKED_AT` rounds or fewer.
    """
    return findings(Training.of(view, metrics, rounds))


def findings(training: Training) -> list[Finding]:
    """The same of a training that is read already."""
    found = [finding for check in _CHECKS for finding in check(training)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))


def rounds_to_read(view: View) -> list[int]:
    """The numbers of the rounds whose updates the diagnosis goes by."""
    begun = [int(each["round"]) for each in view["rounds"] if each["state"] != "open"]
    return begun[-ROUNDS_LOOKED_AT:]
