"""The life of a round, as pure functions: who is selected, and when it closes.

    open ──► collecting ──► aggregating ──► closed
                 └────────────────────────► void

`open` waits for enough nodes. `collecting` has its cohort, quorum and deadline. `aggregating` folds what arrived.
A round that misses its quorum at the deadline is `void`: the global model stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from federation.selection import NOTHING, Facts, draw_by_examples, draw_by_loss, draw_by_speed, draw_uniform
from federation.spec import CohortSpec


class RoundState(StrEnum):
    """Where a round stands."""

    OPEN = "open"
    COLLECTING = "collecting"
    AGGREGATING = "aggregating"
    CLOSED = "closed"
    VOID = "void"


class TaskState(StrEnum):
    """Where a task stands."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether no round will follow."""
        return self in (TaskState.FINISHED, TaskState.CANCELLED)


@dataclass(frozen=True)
class Cohort:
    """The nodes selected for a round; `wanted` of their updates are enough, fewer than `quorum` are too few."""

    members: tuple[str, ...]
    wanted: int
    quorum: int


def nodes_needed(spec: CohortSpec) -> int:
    """How many nodes have to be at hand before a cohort is drawn."""
    return max(spec.min_nodes, spec.size or 1, spec.quorum or 1)


def fewest_in_a_round(spec: CohortSpec) -> int:
    """With how few updates a round may close: its quorum, or the least that it can become."""
    if spec.quorum is not None:
        return spec.quorum
    wanted = spec.size if spec.size is not None else max(1, math.floor((spec.fraction or 1) * spec.min_nodes + 0.5))
    return math.ceil(wanted / 2)


def select_cohort(
    spec: CohortSpec,
    available: Collection[str],
    seed: int,
    *,
    facts: Mapping[str, Facts] | None = None,
    deadline_s: float = math.inf,
) -> Cohort | None:
    """A draw without replacement from the nodes at hand, by the spec's strategy; None while there are too few of them.

    More nodes are drawn than wanted by the factor `over_selection` (Bonawitz et al. 2019, section 2.2). The draw
    depends on the seed, on the set of nodes and on the facts, not on the order in which they came. Uniform needs no
    facts; a node without any counts as unknown.
    """
    count = len(available)
    if count < nodes_needed(spec):
        return None
    wanted = (
        spec.size if spec.size is not None else max(spec.quorum or 1, math.floor((spec.fraction or 1) * count + 0.5))
    )
    drawn = min(count, math.ceil(wanted * spec.over_selection))
    known = {node: (facts or {}).get(node, NOTHING) for node in available}
    match spec.selection:
        case "uniform":
            members = draw_uniform(list(available), drawn, seed)
        case "examples":
            members = draw_by_examples(known, drawn, seed)
        case "speed":
            members = draw_by_speed(known, drawn, seed, deadline_s=deadline_s)
        case "power_of_choice":
            members = draw_by_loss(known, drawn, seed, candidates=spec.candidates)
    quorum = spec.quorum if spec.quorum is not None else math.ceil(wanted / 2)
    return Cohort(tuple(sorted(members)), wanted, quorum)


def decide(
    *, wanted: int, quorum: int, submitted: int, awaited: int, past_deadline: bool
) -> Literal["wait", "aggregate", "void"]:
    """What a collecting round does next.

    Args:
        wanted, quorum: of its cohort.
        submitted: updates accepted so far.
        awaited: members that have not submitted and still hold their lease.
        past_deadline: whether its time is up.
    """
    if submitted >= wanted:
        return "aggregate"
    if past_deadline:
        return "aggregate" if submitted >= quorum else "void"
    if awaited == 0 and submitted >= quorum:
        return "aggregate"  # whoever is missing is gone: waiting for the deadline gains nothing
    return "wait"
