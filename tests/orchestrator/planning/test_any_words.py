"""Whatever anybody types: a plan, or one whose problems are said; never an exception, never a long wait."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from federation.spec import TaskSpec
from orchestrator.planning.by_rules import plan_by_rules
from orchestrator.planning.reading.goal import read
from resources.workload import Workload

WORKLOAD = Workload()
_PIECES = (
    "digits mnist cifar10 plays 0 1 10 100000000 1e9 0.5 -3 99% half ten robust attackers not without non-iid iid "
    "dirichlet alpha phones nodes rounds epochs batch lr fedprox mu scaffold krum bulyan quorum 5 of them a round , . "
    "accuracy deadline seconds hours simulate hf:a/b own images 3x64x64 classes momentum adam on the server rank "
    "1,5 1/10 2.500 97,5% 1e3 million more every after decays called “a\x01 vertical simulate which "
    "tokens and or instead double fewer 20 × ½ α = ( \" ' \n \x00 ﬁ İ"
)
PIECES = st.sampled_from(_PIECES.split(" "))
GOALS = st.one_of(st.text(max_size=2000), st.lists(PIECES, max_size=40).map(" ".join))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(goal=GOALS)
@example("a" * 2000)
@example("10 " * 660)
@example("not " * 500 + "robust")
@example("1 of the nodes " * 130)
@example("\ud800 digits".encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
def test_any_text_gives_a_plan_that_is_valid_or_says_why_not(goal: str) -> None:
    plan = plan_by_rules(goal, WORKLOAD)
    json.dumps(dict(plan.spec)).encode()
    if plan.valid:
        TaskSpec.model_validate(plan.spec)
    else:
        assert all(problem.problem and problem.mend for problem in plan.problems)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(goal=GOALS, change=GOALS)
def test_any_text_changes_a_plan_without_breaking(goal: str, change: str) -> None:
    spec = plan_by_rules(goal, WORKLOAD).spec
    plan = plan_by_rules(change, WORKLOAD, spec)
    assert plan.valid or plan.problems


NASTY = [
    "10 " * 666,
    "of the " * 285,
    "10% of the " * 180,
    "every round " * 160,
    "non-" * 500,
    "x" * 2000,
    "1x1x" * 500,
    "hf:a/" * 400,
    "hf:" + "a." * 990,
    "use A" + "a-" * 990,
    "at least " * 220,
    "own own " * 250,
    "not " * 500,
    "no a a a a or " * 140,
    "alpha alpha = " * 140,
    "two hundred and " * 120,
    "10 android old " * 130,
    "\u2028 " * 1000,
    "1.000" * 400,
    "1/2/3," * 330,
    "3 phones, " * 200,
    "lr 0.1 decays to 0.01 " * 90,
    "after 5 rounds " * 130,
    "decay to 1 after " * 110,
    "name it “" * 220,
    "not 5 rounds but " * 110,
    "1 of them 30% of which " * 80,
    "task called it " * 130,
    "hundred thousand million " * 80,
]


@pytest.mark.timeout(30)  # a pattern that backtracks without bound would take hours
@pytest.mark.parametrize("goal", NASTY, ids=[goal[:12] for goal in NASTY])
def test_repetitive_text_is_read_to_its_end(goal: str) -> None:
    assert read(goal) == read(goal)
