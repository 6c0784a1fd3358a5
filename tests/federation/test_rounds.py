"""The pure part of a round's life."""

from __future__ import annotations

import random

import pytest

from federation.rounds import decide, select_cohort
from federation.spec import CohortSpec

NODES = [f"node-{letter}" for letter in "abcdefghij"]


def test_a_cohort_waits_for_its_size_and_for_min_nodes() -> None:
    assert select_cohort(CohortSpec(size=3), NODES[:2], 0) is None
    assert select_cohort(CohortSpec(size=3, min_nodes=5), NODES[:4], 0) is None
    assert select_cohort(CohortSpec(size=3, min_nodes=5), NODES[:5], 0) is not None
    assert select_cohort(CohortSpec(fraction=0.5, quorum=4), NODES[:3], 0) is None


@pytest.mark.parametrize(
    ("spec", "drawn", "wanted", "quorum"),
    [
        (CohortSpec(size=4), 4, 4, 2),
        (CohortSpec(size=4, over_selection=1.3), 6, 4, 2),
        (CohortSpec(size=8, over_selection=2), 10, 8, 4),
        (CohortSpec(size=5, quorum=5), 5, 5, 5),
        (CohortSpec(fraction=0.5), 5, 5, 3),
        (CohortSpec(fraction=0.01), 1, 1, 1),
        (CohortSpec(fraction=0.5, quorum=8), 8, 8, 8),
        (CohortSpec(fraction=0.25), 3, 3, 2),
        (CohortSpec(fraction=1.0, over_selection=1.5), 10, 10, 5),
    ],
)
def test_a_cohort_has_the_size_the_surplus_and_the_quorum_asked_for(
    spec: CohortSpec, drawn: int, wanted: int, quorum: int
) -> None:
    cohort = select_cohort(spec, NODES, 0)
    assert cohort is not None
    assert (len(set(cohort.members)), cohort.wanted, cohort.quorum) == (drawn, wanted, quorum)
    assert set(cohort.members) <= set(NODES)


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_arrival() -> None:
    spec = CohortSpec(size=4)
    shuffled = random.Random(1).sample(NODES, len(NODES))
    assert select_cohort(spec, NODES, 7) == select_cohort(spec, shuffled, 7)
    draws = {select_cohort(spec, NODES, seed) for seed in range(20)}
    assert len(draws) > 10


def test_every_node_is_drawn_about_equally_often() -> None:
    counts = dict.fromkeys(NODES, 0)
    for seed in range(2000):
        cohort = select_cohort(CohortSpec(size=3), NODES, seed)
        assert cohort is not None
        for member in cohort.members:
            counts[member] += 1
    assert all(500 < count < 700 for count in counts.values()), counts  # 600 expected, sd 20


@pytest.mark.parametrize(
    ("submitted", "awaited", "past_deadline", "verdict"),
    [
        (4, 0, False, "aggregate"),
        (4, 2, False, "aggregate"),  # over-selected: enough have come
        (3, 1, False, "wait"),
        (2, 0, False, "aggregate"),  # the others are gone, the quorum is there
        (1, 0, False, "wait"),  # under the quorum: they may come back until the deadline
        (2, 2, True, "aggregate"),
        (1, 3, True, "void"),
        (0, 0, True, "void"),
    ],
)
def test_a_round_waits_aggregates_or_is_void(submitted: int, awaited: int, past_deadline: bool, verdict: str) -> None:
    assert verdict == decide(wanted=4, quorum=2, submitted=submitted, awaited=awaited, past_deadline=past_deadline)
