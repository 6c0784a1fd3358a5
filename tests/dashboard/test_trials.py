"""Which tasks can be tried, and what their versions answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from dashboard.desk import Refusal
from dashboard.new_task.draft import SENSIBLE, Draft, draft_of
from dashboard.new_task.plan import plan
from dashboard.new_task.written import Unreadable, read, write
from dashboard.try_it.answers import MOST_VERSIONS, ask, bars, over_versions, verdict
from dashboard.try_it.steps import offered
from dashboard.try_it.trials import Trial, trial
from federation.spec import TaskSpec
from resources.datasets import catalogue

CARDS = {card.id: asdict(card) for card in catalogue.datasets()}
HOSTILE = "<img src=x onerror=alert(1)>"


def _trial(model: str, data: dict[str, Any], version: int = 3, **more: Any) -> Trial:
    task = {"task_id": "task-a", "name": HOSTILE, "version": version}
    return trial(task, {"model": {"id": model, **more}, "data": data}, CARDS)


@pytest.mark.parametrize(
    ("model", "data", "way", "digits"),
    [
        ("mlp", {"id": "digits"}, "draw", True),
        ("mnist_cnn", {"id": "mnist"}, "draw", True),
        ("mlp", {"id": "fashion_mnist"}, "draw", False),
        ("cifar10_cnn", {"id": "cifar10"}, "picture", False),
        ("mlp", {"id": "own", "input_shape": [1, 28, 28]}, "draw", True),
        ("mlp", {"id": "own", "input_shape": [3, 20, 30]}, "picture", False),
        ("mlp", {"id": "own", "input_shape": [64]}, "none", False),
        ("mlp", {"id": "hf:acme/cats", "pin": {"input_shape": [3, 8, 8], "class_names": ["a", "b"]}}, "picture", False),
        ("mlp", {"id": "hf:acme/unknown"}, "none", False),
        ("hf:acme/tiny", {"id": "shakespeare"}, "write", False),
    ],
)
def test_a_task_is_tried_the_way_its_inputs_are(model: str, data: dict[str, Any], way: str, digits: bool) -> None:
    found = _trial(model, data)
    assert (found.way, found.digits) == (way, digits)
    assert bool(found.why) == (way == "none")


def test_a_model_that_classifies_texts_is_asked_with_one() -> None:
    assert _trial("hf:acme/tiny", {"id": "own"}, task="sequence_classification").way == "classify"


def test_what_cannot_be_tried_is_not_offered_and_says_why() -> None:
    choices, words = offered([_trial("mlp", {"id": "digits"}), _trial("mlp", {"id": "own", "input_shape": [7]})])
    assert len(choices) == 1
    assert "no drawing or picture stands for" in words
    assert "<img" not in words
    assert "no model to try yet" in offered([])[1]


class _Answering:
    """A line whose server grants so many predictions."""

    def __init__(self, grants: int) -> None:
        self.asked: list[int] = []
        self._grants = grants

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        if len(self.asked) >= self._grants:
            raise Refusal("rate_limited", "too many predictions.", "wait 5 seconds")
        self.asked.append(arguments["version"])
        share = arguments["version"] / 100
        return {"probabilities": [[1 - share, share, 0.0]]}


@pytest.mark.anyio
async def test_versions_are_asked_from_the_newest_spread_out_and_no_more_than_the_limit_allows() -> None:
    line, chosen = _Answering(99), _trial("mlp", {"id": "digits"}, version=60)
    answers = await ask(line, chosen, [0.0])  # type: ignore[arg-type]
    assert line.asked[0] == 60
    assert line.asked[-1] == 0
    assert len(line.asked) == MOST_VERSIONS
    assert answers.latest is not None
    assert answers.latest[0] == 60
    assert "says version 60, 60.0" in verdict(answers, chosen)
    over = over_versions(answers, chosen)
    assert over is not None
    assert {trace.name for trace in over.data} == {"0", "1"}


@pytest.mark.anyio
async def test_a_refusal_in_between_leaves_the_newest_answers() -> None:
    chosen = _trial("mlp", {"id": "digits"}, version=8)
    answers = await ask(_Answering(1), chosen, [0.0])  # type: ignore[arg-type]
    assert set(answers.probabilities) == {8}
    assert answers.refusal is not None
    assert bars(answers, chosen) is not None
    assert over_versions(answers, chosen) is None
    nothing = await ask(_Answering(0), chosen, [0.0])  # type: ignore[arg-type]
    assert verdict(nothing, chosen) == ""
    assert bars(nothing, chosen) is None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_draft_keeps_its_request_until_what_was_made_of_it_changes() -> None:
    draft = Draft(SENSIBLE)
    changed = draft.changed(SENSIBLE | {"rounds": 3})
    assert changed.request_id == draft.request_id
    made = changed.made("task-a")
    assert made.changed(made.spec) is made
    other = made.changed(SENSIBLE | {"rounds": 4})
    assert other.task_id is None
    assert other.request_id != made.request_id
    assert draft_of(made.kept()) == made


@pytest.mark.parametrize(
    "kept", [None, "", "{", "[1]", '{"spec": 5}', '{"spec": {}, "request_id": "no", "task_id": null}']
)
def test_a_draft_that_was_tampered_with_is_a_fresh_one(kept: Any) -> None:
    assert draft_of(kept).spec == SENSIBLE


def test_the_form_begins_with_a_spec_that_can_be_trained() -> None:
    assert TaskSpec.model_validate(SENSIBLE).rounds == 10


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
def test_a_spec_as_text_is_read_as_it_was_written(notation: Any) -> None:
    spec = SENSIBLE | {"description": "ein Über-Modell: {no} # comment", "stopping": {"patience": None}}
    assert read(write(spec, notation)) == spec


@pytest.mark.parametrize(
    "said",
    [
        "{",
        "[1, 2]",
        "a: b: c",
        "- 1",
        "5",
        "name: .nan",
        '{"a": NaN}',
        "a: &x [1]\nb: *x",
        "1: 2",
        "when: 2020-01-01",
        "x" * 100_001,
    ],
)
def test_text_that_is_no_spec_is_refused_with_a_mend(said: str) -> None:
    with pytest.raises(Unreadable, match="Mend"):
        read(said)


def test_a_plan_says_why_and_what_it_could_not_do_and_nobodys_text_is_markup() -> None:
    answer = {
        "planner": "rules",
        "valid": False,
        "reasons": [{"field": "rounds", "value": [1, HOSTILE], "why": HOSTILE}],
        "notes": [HOSTILE],
        "simulate": True,
    }
    shown = plan(answer)
    assert "<img" not in shown
    assert "rounds" in shown
    assert "tab Simulate" in shown
    assert "rules" in shown
