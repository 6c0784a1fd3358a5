"""Settings become specs; runs become curves, tables and sheets."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from dashboard.simulate.comparison import curves, labels, sheet, standings
from dashboard.simulate.cut import in_words, picture
from dashboard.simulate.runs import Run, spread
from dashboard.simulate.settings import ATTACKS, KINDS, Settings
from dashboard.simulate.steps import standing
from federation.aggregation.compatibility import problems
from federation.aggregation.rule_cards import rule_cards
from federation.data_spec import PartitionSpec
from federation.partition import partition
from federation.simulation.attacks import AttackName
from federation.spec import TaskSpec
from resources.datasets import catalogue
from resources.datasets.skew import MOST_SHARES, skew

CARDS = {card["name"]: card for card in rule_cards()}
PLAIN = Settings("digits", "mlp", "dirichlet", 0.3, 20, 0.5, "fedavg", None, "", 0.2, 10.0, 1, 0.1, 0)
RUN = Run(
    "task-a", "a run", "finished", "", "krum", "iid, 4", "none", 3, "", ((0, 0.1, 2.3), (1, 0.5, None), (2, 0.4, 1.0))
)
HOSTILE = "=HYPERLINK(1) <img src=x onerror=alert(1)>"


def test_every_attack_and_cut_that_there_is_can_be_chosen() -> None:
    assert set(ATTACKS) == set(get_args(AttackName))
    assert set(KINDS) == set(get_args(PartitionSpec.model_fields["kind"].annotation))


@pytest.mark.parametrize("rule", [name for name, card in CARDS.items() if "classifier" in card["goes_with"]])
def test_the_settings_make_a_spec_that_every_rule_works_with(rule: str) -> None:
    settings = replace(PLAIN, rule=rule, f=1.0, fraction=0.6)
    spec = TaskSpec.model_validate(settings.spec(CARDS[rule]))
    assert problems(spec) == []
    assert spec.aggregation.options == ({"f": 1} if CARDS[rule]["robust"] else {})


def test_nobody_attacks_unless_an_attack_and_attackers_are_chosen() -> None:
    assert PLAIN.arguments() == {}
    assert replace(PLAIN, attack="alie", attackers=0).arguments() == {}
    assert replace(PLAIN, attack="alie").arguments() == {"attack": "alie", "attackers": 0.2}
    assert "alie 20 %" in replace(PLAIN, attack="alie").name


def test_the_pictured_cut_is_the_one_that_nodes_compute() -> None:
    spec = TaskSpec.model_validate(PLAIN.spec())
    found = skew(spec)
    assert found is not None
    assert found.labels is not None
    labels = catalogue.labels("digits", "train")
    shares = partition(labels, spec.data.partition, spec.partition_seed)
    assert found.examples == [len(share) for share in shares]
    assert found.labels == [np.bincount(labels[share], minlength=10).tolist() for share in shares]
    drawn: Any = picture({"parts": 20, "examples": found.examples, "labels": found.labels, "classes": found.classes})
    assert [list(row) for row in np.array(drawn.data[0].z).T] == found.labels


def test_of_many_shares_the_first_are_told_and_own_data_has_no_picture() -> None:
    many = TaskSpec.model_validate(replace(PLAIN, clients=150, kind="iid").spec())
    found = skew(many)
    assert found is not None
    assert (found.parts, len(found.examples)) == (150, MOST_SHARES)
    own = many.model_dump() | {"data": {"id": "own", "input_shape": [4], "num_classes": 2}}
    assert skew(TaskSpec.model_validate(own)) is None
    impossible = TaskSpec.model_validate(replace(PLAIN, clients=5000).spec())
    assert skew(impossible) is None


def test_the_picture_is_told_in_words() -> None:
    cut = {"parts": 3, "examples": [4, 2, 6], "labels": [[4, 0], [1, 1], [0, 6]], "classes": ["a", "b"]}
    words = in_words(cut)
    assert "3 clients, each with 2 to 6 examples" in words
    assert "at most 1 of the 2 classes" in words
    assert "makes up 100.0" in words


def test_final_best_and_the_rounds_to_a_target_are_those_of_the_points() -> None:
    assert RUN.final == (0.4, 1.0)
    assert RUN.best == 0.5
    assert RUN.reached(0.45) == 1
    assert RUN.reached(0.9) is None
    assert "Rounds to 45%" in standings([RUN], 0.45)


def test_a_sheet_has_every_point_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(sheet([replace(RUN, name=HOSTILE)]))))
    assert [(row["round"], row["accuracy"], row["loss"]) for row in rows] == [
        ("0", "0.1", "2.3"), ("1", "0.5", ""), ("2", "0.4", "1.0"),
    ]  # fmt: skip
    assert rows[0]["name"] == f"'{HOSTILE}"


def test_a_strangers_name_is_text_in_table_and_chart() -> None:
    run = replace(RUN, name=HOSTILE, reason=HOSTILE)
    assert "<img" not in standings([run], 0.5)
    drawn = curves([run], "accuracy")
    assert drawn is not None
    assert "<img" not in drawn.to_json().replace("\\u003c", "<")


def test_a_legend_begins_with_what_tells_runs_apart() -> None:
    names = ["median, α 0.3, 10 clients, sign_flip 10 %", "median, α 0.3, 10 clients, sign_flip 30 %"]
    runs = [replace(RUN, name=name) for name in names]
    assert labels(runs) == [f"sign_flip {share} %, median, α 0.3, 10 clients" for share in (10, 30)]
    assert labels(runs[:1]) == names[:1]
    assert len(set(labels([RUN, RUN]))) == 2


def test_what_is_said_of_the_run_that_was_begun_follows_its_state() -> None:
    begun = {"task_id": "task-a", "name": HOSTILE, "new": True}
    for state, words in (("created", "waits"), ("running", "It runs"), ("finished", "finished"), ("cancelled", "was")):
        shown = standing(begun, [{"task_id": "task-a", "state": state}, {"task_id": "task-b", "state": "running"}])
        assert words in shown
        assert ("It runs" in shown) == (state == "running")
        assert "<img" not in shown


def test_nothing_is_drawn_before_anything_was_measured() -> None:
    assert curves([replace(RUN, points=())], "loss") is None


def test_a_spread_keeps_both_ends_and_its_bound() -> None:
    assert list(spread(0, 4, 12)) == [0, 1, 2, 3, 4]
    some = spread(0, 100, 12)
    assert (some[0], some[-1], len(some)) == (0, 100, 12)
    assert list(spread(1, 0, 12)) == []
