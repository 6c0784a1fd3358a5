"""Whether a task spec can be trained: by the schema, by its rule, by its model and data, and by the nodes there are.

`validate_task` answers with it, and a plan is none before it has passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from federation.aggregation.compatibility import problems as rule_problems
from federation.rounds import nodes_needed
from federation.spec import Problem, TaskSpec, spec_problems
from resources.budget import Budget
from resources.workload import Workload


@dataclass(frozen=True)
class Checked:
    """A spec that was looked at. `budget` is there when there are no problems; `spec` when it is one at all."""

    spec: TaskSpec | None
    problems: tuple[Problem, ...]
    budget: Budget | None


def check(raw: Mapping[str, Any], workload: Workload) -> Checked:
    """Everything wrong with a spec, and what it costs if nothing is. Blocks: models and data are looked at."""
    try:
        spec = TaskSpec.model_validate(raw)
    except ValidationError as error:
        return Checked(None, tuple(spec_problems(error)), None)
    problems = (*rule_problems(spec), *workload.check(spec, fetch=False))
    return Checked(spec, problems, None if problems else workload.estimate(spec))


def warnings(spec: TaskSpec, memory_bytes: int, nodes: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """What does not prevent the task.

    Args:
        memory_bytes: that a round takes on a node.
        nodes: what each that has shaken hands said of itself: `methods`, `memory_bytes`.
    """
    return [*_against_nodes(spec, memory_bytes, nodes), *_of_selection(spec)]


def _of_selection(spec: TaskSpec) -> list[Problem]:
    if spec.cohort.selection != "power_of_choice" or (spec.evaluation.nodes and spec.data.holdout):
        return []
    words = "nodes score no model before they train, so they are chosen by their training loss; one that reports none "
    words += "is taken whenever it is a candidate"
    mend = "set evaluation.nodes and a data.holdout above 0, or see that every node reports train_loss"
    return [Problem(field="cohort.selection", problem=words, mend=mend)]


def _against_nodes(spec: TaskSpec, memory_bytes: int, nodes: Sequence[Mapping[str, Any]]) -> list[Problem]:
    able = [node for node in nodes if spec.aggregation.rule in (node.get("methods") or [spec.aggregation.rule])]
    roomy = [node for node in able if (node.get("memory_bytes") or memory_bytes) >= memory_bytes]
    needed = nodes_needed(spec.cohort)
    warnings = []
    if len(roomy) < needed:
        if not nodes:
            mend = "none is needed: the first round begins when enough have joined"
            return [Problem(field="cohort", problem=f"no node has joined yet; a round waits for {needed}", mend=mend)]
        words = f"{len(roomy)} of the {len(nodes)} nodes that have shaken hands know {spec.aggregation.rule} and have "
        words += f"{memory_bytes} bytes of memory; a round waits for {needed}"
        mend = "let more nodes join, or ask for fewer (cohort.size, cohort.min_nodes)"
        warnings.append(Problem(field="cohort", problem=words, mend=mend))
    if spec.data.id != "own" and needed > spec.data.partition.parts:
        words = f"a round waits for {needed} nodes, but the training set is cut into {spec.data.partition.parts} shares"
        mend = "raise data.partition.parts, unless nodes bring data of their own"
        warnings.append(Problem(field="data.partition.parts", problem=words, mend=mend))
    return warnings
