"""Who is drawn for a round: literal draws, and how often over many seeds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from federation.rounds import select_cohort
from federation.selection import (
    Facts,
    draw_by_examples,
    draw_by_loss,
    draw_by_speed,
    draw_uniform,
    examples_of,
    jain,
    seconds_of,
)
from federation.spec import CohortSpec

NODES = list("abcdefghij")
Draw = Callable[[dict[str, Facts], int], list[str]]
STRATEGIES: dict[str, Draw] = {
    "examples": lambda facts, seed: draw_by_examples(facts, 3, seed),
    "speed": lambda facts, seed: draw_by_speed(facts, 3, seed, deadline_s=6.5),
    "power_of_choice": lambda facts, seed: draw_by_loss(facts, 3, seed, candidates=6),
}
KNOWN = {node: Facts(examples=10 * (i + 1), loss=i / 10, seconds=i + 1.0) for i, node in enumerate(NODES)}


def counted(draw: Draw, facts: dict[str, Facts], seeds: int = 2000) -> Counter[str]:
    return Counter(node for seed in range(seeds) for node in draw(facts, seed))


def test_uniform_draws_what_it_always_drew() -> None:
    assert [sorted(draw_uniform(NODES, 3, seed)) for seed in (0, 1, 7)] == [
        ["f", "g", "j"],
        ["d", "e", "h"],
        ["f", "g", "h"],
    ]
    cohort = select_cohort(CohortSpec(size=3), NODES, 7, facts=KNOWN)
    assert cohort is not None
    assert cohort.members == ("f", "g", "h"), "facts do not touch it"


@pytest.mark.parametrize(
    ("strategy", "drawn"),
    [("examples", ["h", "j", "i"]), ("speed", ["e", "d", "a"]), ("power_of_choice", ["j", "i", "h"])],
)
def test_the_draws_of_seed_7_to_the_letter(strategy: str, drawn: list[str]) -> None:
    assert STRATEGIES[strategy](KNOWN, 7) == drawn


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_draw_depends_on_the_seed_and_not_on_the_order_of_arrival(strategy: str) -> None:
    shuffled = {node: KNOWN[node] for node in random.Random(1).sample(NODES, len(NODES))}
    draws = [STRATEGIES[strategy](KNOWN, seed) for seed in range(20)]
    assert draws == [STRATEGIES[strategy](shuffled, seed) for seed in range(20)]
    assert all(len(set(draw)) == 3 for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 5


@pytest.mark.parametrize("selection", ["uniform", "examples", "speed", "power_of_choice"])
def test_every_strategy_keeps_size_surplus_and_quorum_and_needs_no_facts(selection: str) -> None:
    spec = CohortSpec.model_validate({"size": 4, "over_selection": 1.5, "selection": selection})
    for facts in (None, {}, KNOWN):
        cohort = select_cohort(spec, NODES, 3, facts=facts, deadline_s=5)
        assert cohort is not None
        assert (len(set(cohort.members)), cohort.wanted, cohort.quorum) == (6, 4, 2)
        assert cohort.members == tuple(sorted(cohort.members))
    everyone = select_cohort(spec, NODES[:4], 3, facts=KNOWN, deadline_s=2)
    assert everyone is not None
    assert everyone.members == tuple(NODES[:4])


def test_by_examples_a_single_draw_is_in_proportion() -> None:
    facts = {"a": Facts(examples=10), "b": Facts(examples=30), "c": Facts(examples=60)}
    counts = counted(lambda facts, seed: draw_by_examples(facts, 1, seed), facts, 4000)
    assert abs(counts["a"] - 400) < 80  # sd 19
    assert abs(counts["b"] - 1200) < 120  # sd 29
    assert abs(counts["c"] - 2400) < 130  # sd 31


def test_a_node_that_has_delivered_nothing_counts_as_the_mean_of_the_others() -> None:
    assert examples_of({"a": Facts(examples=10), "b": Facts(examples=30), "c": Facts()}) == {"a": 10, "b": 30, "c": 20}
    assert examples_of({"a": Facts(), "b": Facts()}) == {"a": 1, "b": 1}


def test_by_speed_nodes_that_would_be_late_are_rare_but_not_forgotten() -> None:
    counts = counted(STRATEGIES["speed"], KNOWN)  # a to f make 6.5 s, g to j do not
    late = sum(counts[node] for node in "ghij")
    assert abs(late - 600) < 100, "a tenth of 6,000 seats, sd 23"
    assert all(counts[node] > 50 for node in "ghij")
    assert counts["a"] > counts["c"] > counts["f"], "the quicker, the more often"
    assert counts["g"] > counts["j"], "T / t: who is later by less is tried more often"


def test_by_speed_those_who_make_the_deadline_come_before_those_who_do_not() -> None:
    facts = {"a": Facts(seconds=1), "b": Facts(seconds=1), "slow": Facts(seconds=100)}
    counts = counted(lambda facts, seed: draw_by_speed(facts, 2, seed, deadline_s=10), facts, 1000)
    assert 100 < counts["slow"] < 300, "190 expected: one of two seats is for exploration"
    assert set(draw_by_speed(facts, 3, 0, deadline_s=10)) == set(facts), "seats are filled all the same"
    assert len(draw_by_speed({"slow": Facts(seconds=100), "slower": Facts(seconds=200)}, 1, 0, deadline_s=10)) == 1


def test_an_unmeasured_node_takes_as_long_as_the_middle_one_of_its_device() -> None:
    facts = {"a": Facts(seconds=4), "b": Facts(seconds=8), "c": Facts(seconds=3, device="cuda:0")}
    facts |= {"new": Facts(), "gpu": Facts(device="NVIDIA GPU")}
    expected = seconds_of(facts)
    assert expected["new"] == 8, "the median of 4, 8 and the GPU's 3, which on a CPU were 12"
    assert expected["gpu"] == 2
    rated = {"a": Facts(examples=30, seconds=10), "b": Facts(examples=60, rate=5), "c": Facts(rate=15)}
    assert seconds_of(rated) == {"a": 10, "b": 12, "c": 3}, "its 60 at 5 a second; as many as the others, 45, at 15"
    unmeasured = seconds_of({"a": Facts(), "gpu": Facts(device="cuda")})
    assert unmeasured["gpu"] < unmeasured["a"] < 1, "capabilities alone, and nobody is late"


def test_power_of_choice_takes_the_highest_losses_of_all_when_all_are_candidates() -> None:
    for seed in range(10):
        assert draw_by_loss(KNOWN, 3, seed, candidates=10) == ["j", "i", "h"]


def test_power_of_choice_takes_the_highest_losses_of_its_candidates() -> None:
    for seed in range(50):
        candidates = draw_by_examples(KNOWN, 6, seed)
        assert draw_by_loss(KNOWN, 3, seed, candidates=6) == sorted(candidates, reverse=True)[:3]
        assert draw_by_loss(KNOWN, 3, seed, candidates=None) == sorted(candidates, reverse=True)[:3], "twice the cohort"
    assert set(draw_by_loss(KNOWN, 3, 0, candidates=3)) == set(draw_by_examples(KNOWN, 3, 0)), "no choice"


def test_power_of_choice_hears_everyone_whose_loss_is_unknown_first() -> None:
    facts = KNOWN | {"a": Facts(examples=10), "b": Facts(examples=20, loss=float("nan"))}
    for seed in range(10):
        assert set(draw_by_loss(facts, 3, seed, candidates=10)) == {"a", "b", "j"}
    nobody = {node: Facts() for node in NODES}
    counts = counted(lambda facts, seed: draw_by_loss(facts, 3, seed, candidates=6), nobody)
    assert all(500 < counts[node] < 700 for node in NODES), "600 expected, sd 20: equal losses favour no name"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"size": 2, "candidates": 4}, "belong to selection power_of_choice"),
        ({"size": 4, "candidates": 3, "selection": "power_of_choice"}, "too few to choose 4"),
        ({"size": 4, "selection": "fastest"}, "uniform"),
        ({"size": 4, "selection": "power_of_choice", "candidates": 0}, "greater than or equal to 1"),
    ],
)
def test_a_spec_whose_selection_makes_no_sense_is_refused(raw: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        CohortSpec.model_validate(raw)


@pytest.mark.parametrize(
    ("counts", "index"), [([1, 1, 1, 1], 1.0), ([4, 0, 0, 0], 0.25), ([1, 2, 3], 6 / 7), ([0, 0], 1.0), ([], 1.0)]
)
def test_jains_index(counts: list[float], index: float) -> None:
    assert jain(counts) == pytest.approx(index)
