"""Attackers as they are counted in words, simulated ones too; and goals that no task here can meet."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.planning.by_rules import plan_by_rules
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.plan import Simulation
from resources.workload import Workload

WORKLOAD = Workload()
KRUM: dict[str, Any] = {
    "name": "mine",
    "model": {"id": "mlp"},
    "data": {"id": "digits", "partition": {"parts": 10}},
    "cohort": {"size": 10, "quorum": 8},
    "aggregation": {"rule": "multi_krum", "options": {"f": 2}},
}


@pytest.mark.parametrize(
    ("goal", "f"),
    [
        ("digits on 10 clients, 30% of which are malicious", 3),
        ("digits, 10 clients, 30 percent of whom may be compromised", 3),
        ("digits, up to one third malicious, 9 nodes", 3),
        ("digits, up to 1/3 malicious, 9 nodes", 3),
        ("digits, 9 nodes, a third are byzantine", 3),
        ("digits, 10 clients, one in five is malicious", 2),
        ("digits on 10 clients, malicious clients: 3", 3),
        ("digits on 10 clients, attackers: 40%", 4),
    ],
)
def test_attackers_are_counted_as_they_were(goal: str, f: int) -> None:
    plan = plan_by_rules(goal, WORKLOAD)
    why = next(each.why for each in plan.reasons if each.field == "aggregation.options.f")
    assert (Draft(plan.spec).get("aggregation.options.f"), plan.problems) == (f, ())
    assert why.startswith("you said “")


def test_fewer_nodes_keep_what_is_withstood_or_say_that_they_cannot() -> None:
    seven = plan_by_rules("use 7 nodes", WORKLOAD, KRUM)
    assert (Draft(seven.spec).get("aggregation.options.f"), seven.notes) == (2, ())
    five = plan_by_rules("use 5 nodes", WORKLOAD, KRUM)
    assert Draft(five.spec).get("aggregation.options.f") == 1
    assert any("at most 1 of 5 updates, not 2" in note for note in five.notes)


def test_a_rule_is_not_advised_instead_of_itself() -> None:
    clipped = plan_by_rules("digits on 10 nodes with centered clipping, 8 malicious", WORKLOAD).notes
    assert any("at most 4 of 10" in note for note in clipped)
    assert not any("or for" in note for note in clipped)
    krum = plan_by_rules("digits on 10 nodes with krum, 4 malicious", WORKLOAD).notes
    assert any("or for geometric_median or centered_clipping" in note for note in krum)


@pytest.mark.parametrize(
    ("goal", "simulation"),
    [
        ("simulate digits with 20 clients and half of them attackers", Simulation("sign_flip", 0.5)),
        ("simulate digits with 10 clients, 3 of them malicious", Simulation("sign_flip", 0.3)),
        ("simulate digits with 10 clients, label-flip attack by 20% of them", Simulation("label_flip", 0.2)),
        ("simulate digits with 10 clients and a min-max attack", Simulation("min_max", 0.2)),
        ("simulate digits with 10 clients and backdoors", Simulation("backdoor", 0.2)),
        ("simulate digits with 10 clients", Simulation(None, 0.0)),
        ("simulate digits with 5 clients, 10% malicious", Simulation(None, 0.0)),
        ("digits on 10 clients, 3 of them malicious", None),
    ],
)
def test_a_simulation_is_planned_with_its_attack(goal: str, simulation: Simulation | None) -> None:
    plan = plan_by_rules(goal, WORKLOAD)
    assert plan.simulation == simulation
    assert plan.simulate == (simulation is not None)
    if simulation is not None and simulation.attack is not None:
        assert any(f"attack ({simulation.attack})" in note for note in plan.notes)


@pytest.mark.parametrize(
    "goal",
    [
        "CIFAR-100 with 10 clients",
        "cifar 100 with 10 clients",
        "vertical federated learning between a bank and a shop",
        "CIFAR-100 and ImageNet",
        "forecast electricity demand, 10 households",
        "object detection on 5 cars",
        "time series of 5 plants",
        "regression of house prices on 5 nodes",
    ],
)
def test_a_goal_that_no_task_can_meet_is_no_valid_plan(goal: str) -> None:
    plan = plan_by_rules(goal, WORKLOAD)
    assert [problem.field for problem in plan.problems] == ["(goal)"]
    assert "cannot be met" in plan.problems[0].problem
    assert "digits" in plan.problems[0].problem
    assert not plan.valid
    assert Draft(plan.spec).get("data.id") != "cifar10"
    changed = plan_by_rules(goal, WORKLOAD, KRUM)
    assert not changed.valid


@pytest.mark.parametrize(
    ("goal", "data", "nodes"),
    [
        ("cifar10 100 clients", "cifar10", 100),
        ("cifar 10 clients", "cifar10", 10),
        ("CIFAR 10, 20 clients", "cifar10", 20),
        ("not CIFAR-100 but CIFAR-10, 5 nodes", "cifar10", 5),
        ("time series with 24 values, 3 classes, 5 plants", "own", None),
        ("digits by logistic regression, 5 nodes", "digits", 5),
        ("what rule do you recommend for digits on 5 nodes?", "digits", 5),
    ],
)
def test_a_goal_that_can_be_met_is(goal: str, data: str, nodes: int | None) -> None:
    plan = plan_by_rules(goal, WORKLOAD)
    assert plan.problems == ()
    assert (Draft(plan.spec).get("data.id"), Draft(plan.spec).get("data.partition.parts")) == (data, nodes)


def test_a_csv_file_of_numbers_is_numbers() -> None:
    plan = plan_by_rules("our csv file: 13 features, 2 classes, 3 banks", WORKLOAD)
    found = Draft(plan.spec)
    assert found.get("data") == {"id": "own", "input_shape": [13], "num_classes": 2}
    assert (found.get("model.id"), found.get("cohort.size"), plan.problems) == ("mlp", 3, ())


def test_a_shape_that_is_read_and_not_used_is_said() -> None:
    notes = plan_by_rules("classify our e-mails as spam, 13 features, 2 classes, 4 banks", WORKLOAD).notes
    assert any("13" in note and "texts" in note for note in notes)
