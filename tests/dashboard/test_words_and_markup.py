"""Figures as people read them, and strangers' text that stays text."""

from __future__ import annotations

import pytest

from dashboard import markup, words
from dashboard.desk import Refusal
from tests.dashboard.scenes import HOSTILE


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (19_512, "19.5 kB"),
        (2.5e9, "2.5 GB"),
        (3e15, "3000 TB"),
    ],
)
def test_bytes_are_shown_in_the_unit_that_fits(count: float | None, shown: str) -> None:
    assert words.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "–"), (0.123, "0.1 s"), (12.3, "12 s"), (600, "10 min"), (7200, "2.0 h")]
)
def test_durations_are_shown_in_the_unit_that_fits(seconds: float | None, shown: str) -> None:
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (3, "3"), (1234567.0, "1,234,567"), (0.28812, "0.288"), (float("nan"), "not finite")],
)
def test_figures_keep_the_digits_that_count(value: float | None, shown: str) -> None:
    assert words.number(value) == shown


def test_a_strangers_text_is_one_line_without_marks_that_turn_it_around() -> None:
    tamed = words.tame("a\nb\u202e c\u0000d\ud800")
    assert tamed == "a b c d"
    assert len(words.tame("x" * 5000)) == 200


def test_a_strangers_text_brings_no_markup_along() -> None:
    pieces = (
        markup.chip(HOSTILE),
        markup.heading(HOSTILE),
        markup.paragraph(HOSTILE),
        markup.notice(HOSTILE, HOSTILE),
        markup.refused(Refusal("bad_update", HOSTILE, HOSTILE)),
        markup.facts({"Reason": HOSTILE}),
    )
    for piece in pieces:
        assert "<img" not in piece
        assert "&lt;img" in piece
        assert "\u202e" not in piece


def test_a_refusal_says_what_is_wrong_and_how_to_mend_it() -> None:
    shown = markup.refused(Refusal("wrong_state", "round 2 is open.", "wait for it"))
    assert "Wrong state" in shown
    assert "round 2 is open." in shown
    assert "Mend: <bdi>wait for it</bdi>" in shown
