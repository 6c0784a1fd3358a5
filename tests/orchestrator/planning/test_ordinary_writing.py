"""Numbers, names and schedules as people write them: read whole, or quoted whole as not understood."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.planning.by_rules import plan_by_rules
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.reading.goal import read
from orchestrator.planning.reading.numbers import in_digits
from resources.workload import Workload

WORKLOAD = Workload()
TWENTY: dict[str, Any] = {"name": "mine", "model": {"id": "mlp"}, "data": {"id": "digits"}, "rounds": 20}


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        ("97,5% accuracy, digits on 5 nodes", {"stopping.target_accuracy": 0.975, "cohort.size": 5}),
        ("digits, learning rate 1/10", {"training.learning_rate": 0.1}),
        ("digits, learning rate 0,05 and mu = 1/100", {"training.learning_rate": 0.05, "aggregation.options.mu": 0.01}),
        ("mnist with 2.500 clients, 50 per round", {"data.partition.parts": 2500, "cohort.size": 50}),
        ("mnist with 10.000 clients", {"cohort.size": 10000, "data.partition.parts": 10000}),
        ("mnist with 1e3 clients, 10 a round", {"data.partition.parts": 1000, "cohort.size": 10}),
        ("digits on hundred clients", {"data.partition.parts": 100}),
        ("digits on one hundred clients, sample one percent of the clients", {"cohort.size": 1}),
        ("digits, ten percent of the 50 clients per round", {"cohort.size": 5, "data.partition.parts": 50}),
        ("digits, 10 nodes, lr 1e-2", {"training.learning_rate": 0.01, "cohort.size": 10}),
        ("mnist on 1.5 thousand clients, 15 per round", {"data.partition.parts": 1500}),
        ("digits on 4 phones and 3 laptops", {"data.partition.parts": 7}),
        ("digits on 4 phones, 3 laptops and 2 tablets", {"data.partition.parts": 9}),
        ("digits, not on 5 nodes but on 10", {"cohort.size": 10, "data.partition.parts": 10}),
        ("digits, not 5 rounds but 8", {"rounds": 8}),
        ("digits, don't use 5 nodes, use 8", {"cohort.size": 8}),
        ("digits, dont use momentum", {"training.momentum": 0.0}),
        ("digits, stop after 12 rounds", {"rounds": 12}),
        ("digits, hierarchical, 3 edge servers and 30 devices", {"data.partition.parts": 30}),
        ("digits, overall deadline 1 hour, 20 rounds", {"deadline_s": 180, "rounds": 20}),
        ("digits, deadline 1 hour in total, 20 rounds", {"deadline_s": 180}),
    ],
)
def test_numbers_are_read_whole(goal: str, wanted: dict[str, Any]) -> None:
    plan = plan_by_rules(goal, WORKLOAD)
    assert plan.problems == ()
    assert {field: Draft(plan.spec).get(field) for field in wanted} == wanted
    assert not any("Not understood" in note for note in plan.notes), plan.notes


@pytest.mark.parametrize(
    ("goal", "untouched", "piece"),
    [
        ("digits with seeds 1,2,3", "seed", "“seeds 1,2,3”"),
        ("digits, 5,10 rounds", "rounds", "“5,10”"),
        ("digits on 10/12 nodes", "nodes", "“10/12”"),
        ("digits, 1.5 rounds, batch 2.5000", "training.batch_size", "“batch 2.5000”"),
    ],
)
def test_a_number_that_may_mean_two_things_is_quoted_whole(goal: str, untouched: str, piece: str) -> None:
    wishes = read(goal)
    assert untouched not in wishes.stated
    assert wishes.nodes is None
    assert piece in " ".join(wishes.notes)


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("1.000.000 steps, 1,234.5 s", "1000000 steps, 1234.5 s"),
        ("a million users", "1000000 users"),
        ("2 million five hundred thousand", "2500000"),
        ("several hundred users", "several hundred users"),
        ("two thirds of them, three quarters of them", "66.67% of them, 75% of them"),
        ("1/3 of them", "33.33% of them"),
        ("half the clients", "50% of the clients"),
        ("version 1.2.3", "version 1.2.3"),
    ],
)
def test_written_numbers_become_digits(words: str, digits: str) -> None:
    assert in_digits(words) == digits


@pytest.mark.parametrize(
    "goal",
    [
        "digits, lr 0.1 decays to 0.01 after 50 rounds",
        "digits, learning rate 0.1, halved every 50 rounds",
        "digits, lr 0.1, reduce the learning rate by 10 after 50 rounds",
        "digits, lr = 0.1 decaying by 2% every round",
        "digits, learning rate 0.1 for the first 50 rounds, then 0.01",
    ],
)
def test_a_schedule_is_said_to_be_none_and_ends_nothing(goal: str) -> None:
    plan = plan_by_rules(goal, WORKLOAD)
    found = Draft(plan.spec)
    assert (found.get("rounds"), found.get("training.learning_rate")) == (10, 0.1)
    assert found.get("evaluation.every") is None
    assert any("learning-rate schedules" in note for note in plan.notes)


def test_a_deadline_of_the_whole_is_said_to_be_shared_among_rounds() -> None:
    notes = plan_by_rules("digits, overall deadline 1 hour, 20 rounds", WORKLOAD).notes
    assert any("overall deadline 1 hour" in note and "no deadline of the whole" in note for note in notes)


@pytest.mark.parametrize(
    "goal", ['name it "my 5 rounds", digits on 4 nodes', "digits on 4 nodes, called “my 5 rounds”"]
)
def test_a_name_in_quotes_is_a_name_and_nothing_else(goal: str) -> None:
    plan = plan_by_rules(goal, WORKLOAD)
    assert (plan.spec["name"], plan.spec["rounds"]) == ("my 5 rounds", 10)
    assert plan_by_rules('call it "so 9 rounds"', WORKLOAD, TWENTY).spec == TWENTY | {"name": "so 9 rounds"}
    assert plan_by_rules('call it " \x01 "', WORKLOAD, TWENTY).spec == TWENTY


def test_a_name_of_something_else_is_said_and_not_read() -> None:
    plan = plan_by_rules('digits with four hospitals called "9 rounds"', WORKLOAD)
    assert (plan.spec["name"], plan.spec["rounds"]) == ("digits on 4 hospitals", 10)
    assert any("“9 rounds” was read as a name" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("goal", "rounds"),
    [
        ("10 more rounds", 30),
        ("another 5 rounds", 25),
        ("add 7 rounds", 27),
        ("5 fewer rounds", 15),
        ("increase the rounds by 10", 30),
        ("increase the rounds to 50", 50),
        ("increase the rounds by 50%", 30),
        ("more rounds", 40),
    ],
)
def test_more_of_something_is_added_to_what_there_is(goal: str, rounds: int) -> None:
    plan = plan_by_rules(goal, WORKLOAD, TWENTY)
    assert plan.spec == TWENTY | {"rounds": rounds}
    assert not any("Not understood" in note for note in plan.notes), plan.notes


def test_more_phones_than_shares_is_said() -> None:
    plan = plan_by_rules("mnist on 50k phones", WORKLOAD)
    assert (Draft(plan.spec).get("data.partition.parts"), Draft(plan.spec).get("cohort.size")) == (10_000, 8_000)
    assert any("10,000" in note and "50,000" in note for note in plan.notes)
