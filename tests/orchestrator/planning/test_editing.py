"""A spec that is there is changed where the words say so, and stays as it was everywhere else."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.planning.by_rules import plan_by_rules
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.plan import Plan
from resources.workload import Workload

WORKLOAD = Workload()
BASE: dict[str, Any] = {
    "name": "mine",
    "model": {"id": "mlp", "options": {"hidden": 32}},
    "data": {"id": "digits", "partition": {"kind": "dirichlet", "alpha": 0.3, "parts": 10}},
    "training": {"learning_rate": 0.1, "epochs": 2},
    "cohort": {"size": 10},
    "rounds": 10,
    "seed": 5,
}
ROBUST = BASE | {"aggregation": {"rule": "multi_krum", "options": {"f": 2}}, "cohort": {"size": 10, "quorum": 8}}


def flat(spec: Any, path: str = "") -> dict[str, Any]:
    """Fields by dotted path."""
    if not isinstance(spec, dict):
        return {path: spec}
    return {key: value for name, part in spec.items() for key, value in flat(part, f"{path}.{name}".strip(".")).items()}


def changed(goal: str, spec: dict[str, Any] = BASE) -> tuple[dict[str, Any], Plan]:
    """What is other than before, and the plan."""
    plan = plan_by_rules(goal, WORKLOAD, spec)
    assert plan.problems == ()
    before, after = flat(spec), flat(dict(plan.spec))
    differing = {field: after.get(field) for field in before | after if before.get(field) != after.get(field)}
    assert set(differing) <= {reason.field for reason in plan.reasons} | {
        field for field in before if field not in after
    }
    return differing, plan


@pytest.mark.parametrize(
    ("goal", "difference"),
    [
        ("make it 20 rounds", {"rounds": 20}),
        (
            "make it 20 rounds and more robust",
            {
                "rounds": 20,
                "aggregation.rule": "centered_clipping",
                "aggregation.options.f": 2,
                "cohort.quorum": 5,
            },
        ),
        ("double the rounds and halve the learning rate", {"rounds": 20, "training.learning_rate": 0.05}),
        ("fewer epochs", {"training.epochs": 1}),
        ("a lower learning rate", {"training.learning_rate": 0.05}),
        ("only 5 clients a round", {"cohort.size": 5}),
        ("with 20 nodes", {"cohort.size": 20, "data.partition.parts": 20}),
        ("iid instead of non-iid", {"data.partition.kind": "iid"}),
        ("alpha 0.1", {"data.partition.alpha": 0.1}),
        ("use FedProx with mu 0.05", {"aggregation.rule": "fedprox", "aggregation.options.mu": 0.05}),
        ("stop at 95% accuracy", {"stopping.target_accuracy": 0.95}),
        ("deadline 5 minutes", {"deadline_s": 300}),
    ],
)
def test_only_what_was_spoken_of_changes(goal: str, difference: dict[str, Any]) -> None:
    assert changed(goal)[0] == difference


def test_the_spec_that_was_given_is_left_alone() -> None:
    before = repr(BASE)
    changed("make it 20 rounds with 5 nodes")
    assert repr(BASE) == before


def test_more_robust_than_robust_raises_what_is_withstood_as_far_as_it_goes() -> None:
    difference, _ = changed("make it more robust", ROBUST)
    assert difference == {"aggregation.options.f": 3, "cohort.quorum": 9}
    _, plan = changed("withstand 6 attackers", ROBUST)
    assert Draft(plan.spec).get("aggregation.options.f") == 3
    assert any("at most 3 of 10" in note for note in plan.notes)


def test_fewer_nodes_take_their_quorum_along() -> None:
    difference, _ = changed("7 nodes", ROBUST)
    assert difference == {"cohort.size": 7, "data.partition.parts": 7, "cohort.quorum": 7}


def test_no_longer_robust_is_the_mean_again() -> None:
    difference, _ = changed("it need not be robust, no attackers", ROBUST)
    assert difference["aggregation.rule"] == "fedavg"


def test_other_data_bring_a_model_that_takes_them() -> None:
    difference, plan = changed("on CIFAR-10 instead")
    assert difference["data.id"] == "cifar10"
    assert Draft(plan.spec).get("model.id") == "cifar10_cnn"
    assert Draft(plan.spec).get("seed") == 5


def test_words_that_change_nothing_say_so() -> None:
    difference, plan = changed("thank you very much")
    assert difference == {}
    assert any("Nothing in these words changes the spec" in note for note in plan.notes)


def test_a_spec_that_was_wrong_before_is_said_to_be_and_not_mended_in_passing() -> None:
    plan = plan_by_rules("20 rounds", WORKLOAD, BASE | {"seed": -1})
    assert plan.spec["rounds"] == 20
    assert plan.spec["seed"] == -1
    assert [problem.field for problem in plan.problems] == ["seed"]


@pytest.mark.parametrize("spec", [{}, {"model": 3}, {"cohort": None, "data": []}, {"rounds": "many"}])
def test_what_is_no_spec_is_no_crash(spec: dict[str, Any]) -> None:
    assert plan_by_rules("20 rounds on 5 nodes, robust, iid", WORKLOAD, spec).problems
