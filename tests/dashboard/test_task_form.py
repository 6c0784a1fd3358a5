"""The form and the spec say the same, whichever of them changes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dashboard.new_task.budget import budget
from dashboard.new_task.fields import fields
from dashboard.new_task.form import Form, parsed_list
from dashboard.new_task.paths import MISSING, found, put
from dashboard.new_task.placing import placed
from dashboard.new_task.plan import plan
from dashboard.new_task.problems import remarks
from dashboard.new_task.reference import Reference
from dashboard.new_task.schema import described, described_by, named_by
from federation.aggregation.compatibility import problems as rule_problems
from federation.aggregation.methods import METHODS
from federation.aggregation.rule_cards import rule_cards
from federation.spec import TaskSpec, spec_problems
from resources.datasets import catalogue as datasets
from resources.models import catalogue as models

BASE: dict[str, Any] = {"name": "a test", "model": {"id": "mlp"}, "data": {"id": "digits"}}
ADAPTERS: dict[str, Any] = {"name": "a text", "model": {"id": "hf:acme/tiny"}, "data": {"id": "shakespeare"}}


def reference() -> Reference:
    from dataclasses import asdict

    return Reference(
        json.loads(json.dumps(TaskSpec.model_json_schema())),
        {card["name"]: card for card in json.loads(json.dumps(rule_cards()))},
        {card.id: json.loads(json.dumps(asdict(card))) for card in models.models()},
        {card.id: json.loads(json.dumps(asdict(card))) for card in datasets.datasets()},
    )


FORM = Form(reference())

_WISHES: dict[str, st.SearchStrategy[Any]] = {
    "model.options.hidden": st.integers(1, 64),
    "data.partition.kind": st.sampled_from(["iid", "dirichlet", "shards"]),
    "data.partition.alpha": st.floats(0.01, 100),
    "data.partition.parts": st.integers(1, 50),
    "data.holdout": st.floats(0, 0.5),
    "training.optimizer": st.sampled_from(["sgd", "adam"]),
    "training.learning_rate": st.floats(1e-5, 1),
    "training.batch_size": st.integers(1, 512),
    "training.max_steps": st.none() | st.integers(1, 100),
    "aggregation.rule": st.sampled_from([name for name, method in METHODS.items() if method.kind.value[0] != "p"]),
    "aggregation.weighting": st.none() | st.sampled_from(["uniform", "capped", "examples"]),
    "aggregation.mixing": st.sampled_from(["none", "nnm", "bucketing"]),
    "cohort": st.fixed_dictionaries({"size": st.integers(1, 50)}, optional={"min_nodes": st.integers(1, 9)})
    | st.fixed_dictionaries({"fraction": st.floats(0.1, 1)}),
    "stopping.target_accuracy": st.none() | st.floats(0.1, 1),
    "stopping.patience": st.integers(1, 9),
    "evaluation.server": st.booleans(),
    "rounds": st.integers(1, 1000),
    "seed": st.integers(0, 2**40),
    "keep_rounds": st.integers(0, 9),
    "description": st.text(max_size=40),
}


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    spec = dict(BASE)
    for path, values in _WISHES.items():
        if draw(st.booleans()):
            spec = put(spec, path, draw(values))
    return spec


@settings(max_examples=60, deadline=None)
@given(specs())
def test_what_is_shown_and_taken_back_unchanged_changes_no_spec(spec: dict[str, Any]) -> None:
    assert FORM.edited(spec, FORM.shown(spec)) == spec


@settings(max_examples=60, deadline=None)
@given(specs())
def test_a_control_shows_what_the_server_takes_for_a_field_that_is_left_out(spec: dict[str, Any]) -> None:
    complete = TaskSpec.model_validate(spec).model_dump(mode="json")
    shown, whole = FORM.shown(spec), FORM.shown(complete)
    assert {path: value for path, value in shown.items() if "#" not in path} == {
        path: value for path, value in whole.items() if "#" not in path
    }


def test_adapters_are_shown_with_their_own_defaults() -> None:
    complete = TaskSpec.model_validate(ADAPTERS).model_dump(mode="json")
    shown = FORM.shown(ADAPTERS)
    for path in ("training.optimizer", "training.learning_rate", "training.batch_size", "aggregation.rule"):
        assert shown[path] == found(complete, path)


@settings(max_examples=25, deadline=None)
@given(specs(), specs())
def test_a_form_filled_like_another_spec_shows_the_same_and_is_as_valid(
    spec: dict[str, Any], other: dict[str, Any]
) -> None:
    """Field by field, as a person would, from one spec to the other."""
    wanted = FORM.shown(other)
    for field in fields():
        if "#" not in field.path:
            spec = FORM.edited(spec, FORM.shown(spec) | {field.path: wanted[field.path]})
    spec = put(spec, "keep_rounds", found(other, "keep_rounds")) if "keep_rounds" in other else spec
    model = TaskSpec.model_validate(spec)
    assert model.aggregation.rule == TaskSpec.model_validate(other).aggregation.rule
    ahead = FORM.shown(spec)
    for path in ("data.partition.kind", "training.learning_rate", "cohort.size", "cohort.fraction", "rounds", "seed"):
        assert ahead[path] == wanted[path]


def test_every_control_stands_for_a_field_of_the_schema_of_its_kind() -> None:
    for field in fields():
        if field.slot is not None:
            continue
        says = described(FORM.reference.schema, field.path)
        default = says.default
        if field.kind == "flag":
            assert isinstance(default, bool), field.path
        if field.kind == "choice" and not field.custom:
            assert says.choices, field.path
        if field.kind == "number":
            assert default is None or isinstance(default, int | float), field.path


def test_a_rule_offers_its_own_options_and_only_mixings_and_weights_that_it_takes() -> None:
    spec = FORM.edited(BASE, FORM.shown(BASE) | {"aggregation.rule": "multi_krum"})
    assert FORM.path(spec, _field("aggregation.options#0")) == "aggregation.options.f"
    assert FORM.path(spec, _field("aggregation.options#1")) == "aggregation.options.m"
    assert "aggregation.options#2" not in FORM.visible(spec)
    assert [value for _, value in FORM.choices(spec, _field("aggregation.weighting"))] == ["", "uniform"]
    assert [value for _, value in FORM.choices(BASE, _field("aggregation.mixing"))] == ["none"]
    rules = [value for _, value in FORM.choices(BASE, _field("aggregation.rule"))]
    assert "lora_exact" not in rules
    assert "krum" in rules


def test_another_rule_takes_the_old_ones_options_along_no_further() -> None:
    spec = FORM.edited(BASE, FORM.shown(BASE) | {"aggregation.rule": "multi_krum"})
    spec = FORM.edited(spec, FORM.shown(spec) | {"aggregation.options#0": 1, "aggregation.mixing": "nnm"})
    assert found(spec, "aggregation.options.f") == 1
    spec = FORM.edited(spec, FORM.shown(spec) | {"aggregation.rule": "fedavg"})
    assert not rule_problems(TaskSpec.model_validate(spec))


@pytest.mark.parametrize(("start", "model"), [(BASE, "hf:acme/tiny"), (ADAPTERS, "logistic")])
def test_another_kind_of_model_brings_data_and_a_rule_that_fit(start: dict[str, Any], model: str) -> None:
    spec = FORM.edited(start, FORM.shown(start) | {"data.holdout": 0.2})
    spec = FORM.edited(spec, FORM.shown(spec) | {"model.id": model})
    parsed = TaskSpec.model_validate(spec)
    assert parsed.model.id == model
    assert (parsed.data.id == "shakespeare") == model.startswith("hf:")
    assert not rule_problems(parsed)


def test_own_data_states_its_shape_and_catalogued_data_does_not() -> None:
    own = FORM.edited(BASE, FORM.shown(BASE) | {"data.id": "own"})
    assert TaskSpec.model_validate(own).data.input_shape == (1, 28, 28)
    shaped = FORM.edited(own, FORM.shown(own) | {"data.input_shape": "64"})
    assert TaskSpec.model_validate(shaped).data.input_shape == (64,)
    back = FORM.edited(shaped, FORM.shown(shaped) | {"data.id": "digits"})
    assert TaskSpec.model_validate(back).data.input_shape is None


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"model": 5, "data": "digits", "training": None},
        {"model": {"id": ["mlp"]}, "aggregation": {"rule": ["a"], "options": 3, "mixing": {}}, "data": {"id": {}}},
        {"aggregation": {"options": {"f": "<b>"}}, "data": {"partition": []}, "rounds": "many"},
    ],
)
def test_whatever_a_person_wrote_can_be_shown_and_mended_in_the_form(broken: dict[str, Any]) -> None:
    shown = FORM.shown(broken)
    assert FORM.edited(broken, shown) == broken
    for field in fields():
        FORM.choices(broken, field)
    mended = FORM.edited(broken, shown | {"model.id": "mlp", "data.id": "digits", "name": "mended", "rounds": 3})
    assert found(mended, "model.id") == "mlp"
    assert found(mended, "rounds") == 3


def test_each_problem_stands_beside_its_control_or_in_the_list() -> None:
    spec = BASE | {"training": {"learning_rate": 1000, "momentum": 2}, "keep_rounds": -1, "cohort": {}, "surprise": 1}
    with pytest.raises(ValidationError) as refused:
        TaskSpec.model_validate(spec)
    problems = [problem.model_dump() for problem in spec_problems(refused.value)]
    found = placed(FORM, spec, problems)
    assert set(found.beside) == {"training.learning_rate", "training.momentum"}
    assert {problem["field"] for problem in found.listed} == {"keep_rounds", "cohort", "surprise"}


def test_a_problem_of_an_option_stands_beside_the_options_control() -> None:
    spec = put(put(BASE, "aggregation.rule", "krum"), "aggregation.options.f", -1)
    problems = [problem.model_dump() for problem in rule_problems(TaskSpec.model_validate(spec))]
    assert "aggregation.options#0" in placed(FORM, spec, problems).beside


@pytest.mark.parametrize(
    ("text", "value"),
    [("1, 28, 28", [1, 28, 28]), ("[64]", [64]), ("auto", "auto"), ("q_proj,v_proj", ["q_proj", "v_proj"]), ("", None)],
)
def test_lists_are_read_as_people_write_them(text: str, value: Any) -> None:
    assert parsed_list(text) == value


def _field(path: str) -> Any:
    return next(field for field in fields() if field.path == path)


def test_nothing_is_found_below_what_is_no_section() -> None:
    assert found({"training": 5}, "training.epochs") is MISSING


def test_bounds_are_said_in_words_and_a_word_for_callers_is_left_out() -> None:
    says = {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000.0, "description": "How (see a_tool) much."}
    assert described_by(says).info == "How much. More than 0, at most 1,000,000."
    assert described_by({"type": "integer", "minimum": 1, "maximum": 10_000}).info == "1 to 10,000."
    assert described_by({"type": "number", "minimum": 0, "exclusiveMaximum": 0.5}).info == "At least 0, less than 0.5."
    assert not any("(see " in described(FORM.reference.schema, each.path).info for each in fields() if not each.slot)


def test_every_option_of_a_rule_or_model_is_called_what_it_is_there() -> None:
    known = FORM.reference
    for card in (*known.rules.values(), *known.models.values()):
        for name, option in card.get("options", {}).items():
            assert re.fullmatch(r".{8,80} \(\w+\)", named_by(option, name)), (card, name)
    beta = {rule: named_by(known.rules[rule]["options"]["beta"], "beta") for rule in ("fedavgm", "trimmed_mean")}
    assert beta == {
        "fedavgm": "Server's momentum (beta)",
        "trimmed_mean": "Share of values dropped at each end (beta)",
    }


def test_what_needs_no_mend_is_a_note_and_no_warning() -> None:
    idle = {"field": "cohort", "problem": "no node <b> has joined yet", "mend": "none is needed: it begins by itself"}
    slow = {"field": "rounds", "problem": "it takes a day", "mend": "fewer rounds"}
    shown = remarks([idle])
    assert "notice" not in shown
    assert "No node &lt;b&gt; has joined yet; it begins by itself." in shown
    both = remarks([slow, idle])
    assert "Mend:" in both
    assert both.index("it takes a day") < both.index('<ul class="notes">') < both.index("has joined yet")
    assert remarks([]) == ""


def test_the_memory_of_a_budget_is_said_to_be_that_of_training_alone() -> None:
    figures = {"parameters": 10, "model_bytes": 40, "memory_bytes": 213_000, "bytes_per_round_per_node": 80}
    shown = budget(figures, {})
    assert "Memory for training" in shown
    assert "about 300 MB of Python and PyTorch" in shown


def test_a_path_in_a_plan_breaks_after_dots_alone() -> None:
    shown = plan({"reasons": [{"field": "data.partition.<img>", "value": 5, "why": "five"}], "valid": True})
    assert "<bdi>data</bdi>.<wbr><bdi>partition</bdi>.<wbr><bdi>&lt;img&gt;</bdi>" in shown


def test_a_plan_for_another_goal_says_so_though_its_spec_could_be_started() -> None:
    problem = {"field": "(goal)", "problem": "finding <b>objects</b> is not among", "mend": "ask for classes"}
    elsewhere = {"field": "rounds", "problem": "at least 1", "mend": "say how many"}
    shown = plan({"valid": False, "problems": [problem, elsewhere], "reasons": []})
    assert 'id="another-goal"' in shown
    assert "finding &lt;b&gt;objects&lt;/b&gt; is not among" in shown
    assert "at least 1" not in shown  # it stands beside its control
    assert "another-goal" not in plan({"valid": True, "problems": [], "reasons": []})
