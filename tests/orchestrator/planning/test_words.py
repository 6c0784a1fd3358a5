"""Numbers in words, what is denied, and what is left."""

from __future__ import annotations

import pytest

from orchestrator.planning.reading.goal import read
from orchestrator.planning.reading.numbers import in_digits
from orchestrator.planning.reading.words import LONGEST, Words


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("ten phones", "10 phones"),
        ("a dozen clients, two dozen tabs", "12 clients, 24 tabs"),
        ("twenty-five rounds of thirty steps", "25 rounds of 30 steps"),
        ("two hundred and fifty nodes", "250 nodes"),
        ("two thousand five hundred users", "2500 users"),
        ("a hundred of a thousand", "100 of 1000"),
        ("1,000 clients and 10k steps", "1000 clients and 10000 steps"),
        ("half of them, a third of them, 1/4 of them", "50% of them, 33.33% of them, 25% of them"),
        ("half an hour, a quarter of an hour", "30 minutes, 15 minutes"),
        ("twenty per cent", "20%"),
        ("one epoch of the one and only", "1 epoch of the one and only"),
        ("a couple of hospitals", "2 hospitals"),
        ("five and ten", "5 and 10"),
        ("someone often weighs heights", "someone often weighs heights"),
    ],
)
def test_number_words_become_digits(words: str, digits: str) -> None:
    assert in_digits(words) == digits


@pytest.mark.parametrize(
    "goal",
    [
        "not robust",
        "no need to be robust",
        "it does not have to be robust",
        "without attackers or robust rules",
        "robust is not needed",
        "don't make it robust",
        "robust: off",
    ],
)
def test_what_is_denied_is_not_wished_for(goal: str) -> None:
    assert read(goal).robust is not True


@pytest.mark.parametrize(
    "goal",
    [
        "robust",
        "not only fast but robust",
        "no momentum, but robust",
        "without momentum and with robust rules",
        "robust!",
    ],
)
def test_a_denial_ends_where_its_words_end(goal: str) -> None:
    assert read(goal).robust is True


def test_what_is_left_is_quoted_without_the_words_around_it() -> None:
    words = Words("Please train the purple elephant with 5 nodes, and then the digits")
    words.find("5 nodes")
    words.find("digits")
    assert words.left() == ["purple elephant"]


def test_only_so_much_is_read_and_that_is_said() -> None:
    wishes = read("digits " * LONGEST)
    assert any(f"first {LONGEST} characters" in note for note in wishes.notes)


def test_repositories_keep_their_case() -> None:
    words = Words("fine-tune HuggingFaceTB/SmolLM2-135M on hf:acme/My.Data, not and/or client/server")
    assert sorted(words.repositories) == ["HuggingFaceTB/SmolLM2-135M", "acme/My.Data"]
