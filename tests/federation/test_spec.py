from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from federation.data_spec import TextSpec
from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, derive_seed, parse_spec, spec_problems

SMALLEST: dict[str, Any] = {"name": "digits", "model": {"id": "mlp"}, "data": {"id": "digits"}}


def spec(**changes: Any) -> dict[str, Any]:
    return SMALLEST | changes


def refusal(raw: Any) -> str:
    with pytest.raises(Refused) as caught:
        parse_spec(raw)
    assert caught.value.code is ErrorCode.INVALID_SPEC
    assert "potluck://schema/task" in caught.value.mend
    return caught.value.problem


def fields(raw: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        TaskSpec.model_validate(raw)
    problems = spec_problems(caught.value)
    assert all(problem.problem and problem.mend for problem in problems)
    return [problem.field for problem in problems]


def test_name_model_and_data_are_enough() -> None:
    task = parse_spec(SMALLEST)
    assert (task.aggregation.rule, task.aggregation.weighting, task.cohort.size, task.codec) == (
        "fedavg", None, 1, "none"
    )  # fmt: skip


def test_a_spec_survives_json() -> None:
    raw = spec(
        model={"id": "mlp", "options": {"hidden": 64, "dropout": 0.5, "bias": True, "activation": "relu"}},
        data={"id": "own", "input_shape": [1, 28, 28], "num_classes": 10},
        cohort={"fraction": 0.1, "quorum": 3},
    )
    task = parse_spec(raw)
    again = parse_spec(json.loads(task.model_dump_json()))
    assert again == task
    options = again.model.options
    assert [type(options[name]) for name in ("hidden", "dropout", "bias", "activation")] == [int, float, bool, str]


def test_the_schema_describes_itself_in_json() -> None:
    schema = TaskSpec.model_json_schema()
    assert set(schema["required"]) == {"name", "model", "data"}
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())
    json.dumps(schema, allow_nan=False)


def test_a_spec_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse_spec(SMALLEST).rounds = 7  # type: ignore[misc]


@pytest.mark.parametrize("raw", [None, [], "spec", 1])
def test_what_is_no_object_is_refused(raw: Any) -> None:
    assert refusal(raw).startswith("(spec): ")


def test_every_wrong_field_is_named_at_once() -> None:
    raw = spec(rounds=0, training={"learning_rate": -1, "epohcs": 3}, cohort={"size": 2, "over_selection": 0.5})
    problem = refusal(raw)
    for field in ("rounds: ", "training.learning_rate: ", "training.epohcs: ", "cohort.over_selection: "):
        assert field in problem
    assert refusal({}).count("Field required") == 3


def test_a_misspelt_field_and_a_missing_one_have_mends_of_their_own() -> None:
    with pytest.raises(ValidationError) as caught:
        TaskSpec.model_validate({"name": "t", "model": {"id": "mlp", "option": {}}})
    mends = {problem.field: problem.mend for problem in spec_problems(caught.value)}
    assert "spelling" in mends["model.option"]
    assert "add the field" in mends["data"]


@pytest.mark.parametrize(
    ("field", "raw"),
    [
        ("name", spec(name="")),
        ("name", spec(name="a\nb")),
        ("name", spec(name="a\n")),
        ("name", spec(name="n" * 81)),
        ("model.id", spec(model={"id": "../../etc/passwd"})),
        ("model.id", spec(model={"id": "mlp\n"})),
        ("model.id", spec(model={"id": "MLP"})),
        ("model.id", spec(model={"id": ""})),
        ("data.id", spec(data={"id": "a/b"})),
        ("data.partition.kind", spec(data={"id": "digits", "partition": {"kind": "fair"}})),
        ("data.partition.parts", spec(data={"id": "digits", "partition": {"parts": 0}})),
        ("data.partition.alpha", spec(data={"id": "digits", "partition": {"alpha": 0}})),
        ("data.holdout", spec(data={"id": "digits", "holdout": 0.6})),
        ("training.learning_rate", spec(training={"learning_rate": math.inf})),
        ("training.learning_rate", spec(training={"learning_rate": math.nan})),
        ("training.learning_rate", spec(training={"learning_rate": 0})),
        ("training.momentum", spec(training={"momentum": 1})),
        ("training.batch_size", spec(training={"batch_size": 1.5})),
        ("training.max_steps", spec(training={"max_steps": 0})),
        ("training.optimizer", spec(training={"optimizer": "lion"})),
        ("aggregation.rule", spec(aggregation={"rule": "crumb"})),
        ("aggregation.max_examples", spec(aggregation={"max_examples": 10**9 + 1})),
        ("aggregation.max_update_norm", spec(aggregation={"max_update_norm": 0})),
        ("cohort.fraction", spec(cohort={"fraction": 1.5})),
        ("codec", spec(codec="int8")),
        ("rounds", spec(rounds=10**5000)),
        ("deadline_s", spec(deadline_s=math.nan)),
        ("lease_s", spec(lease_s=0.5)),
        ("keep_rounds", spec(keep_rounds=-1)),
        ("seed", spec(seed=-1)),
        ("seed", spec(seed=2**63)),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_field(field: str, raw: dict[str, Any]) -> None:
    assert fields(raw) == [field]
    assert refusal(raw).startswith(f"{field}: ")


@pytest.mark.parametrize("cohort", [{}, {"size": 2, "fraction": 0.5}])
def test_a_cohort_has_either_a_size_or_a_fraction(cohort: dict[str, Any]) -> None:
    assert refusal(spec(cohort=cohort)) == "cohort: give either size or fraction."


def test_a_quorum_that_the_cohort_cannot_meet_is_refused() -> None:
    assert "quorum 3 can never be met by a cohort of 2" in refusal(spec(cohort={"size": 2, "quorum": 3}))
    assert parse_spec(spec(cohort={"size": 2, "quorum": 2})).cohort.quorum == 2


def test_own_data_states_its_shape_and_other_data_does_not() -> None:
    assert "the server cannot see the data" in refusal(spec(data={"id": "own"}))
    assert "needs input_shape and num_classes" in refusal(spec(data={"id": "own", "num_classes": 2}))
    assert "has its own" in refusal(spec(data={"id": "digits", "num_classes": 10}))
    assert parse_spec(spec(data={"id": "own", "input_shape": [8], "num_classes": 2})).data.input_shape == (8,)


@pytest.mark.parametrize("shape", [[], [1, 1, 1, 1, 1]])
def test_an_input_has_one_to_four_dimensions(shape: list[int]) -> None:
    assert fields(spec(data={"id": "own", "input_shape": shape, "num_classes": 2})) == ["data.input_shape"]


@pytest.mark.parametrize("shape", [[0], [-5, 2], [2**40]])
def test_a_dimension_is_positive_and_bounded(shape: list[int]) -> None:
    refusal(spec(data={"id": "own", "input_shape": shape, "num_classes": 2}))


def test_a_wrong_option_is_one_problem_with_a_path_that_exists() -> None:
    assert fields(spec(model={"id": "mlp", "options": {"hidden": [64]}})) == ["model.options.hidden"]


@pytest.mark.parametrize("options", [{"a": "x" * 1_000_000}, {str(i): 1 for i in range(100_000)}])
def test_options_are_bounded(options: dict[str, Any]) -> None:
    refusal(spec(model={"id": "mlp", "options": options}))


def test_the_cut_has_its_own_seed_or_the_tasks() -> None:
    assert parse_spec(spec(seed=5)).partition_seed == 5
    own = spec(seed=5, data={"id": "digits", "partition": {"seed": 0}})
    assert parse_spec(own).partition_seed == 0


def test_a_derived_seed_is_fixed_and_depends_on_every_part_and_its_place() -> None:
    assert derive_seed(1) == 3874038210105081456
    seeds = [derive_seed(*parts) for parts in ((0,), (1,), (0, 1), (1, 0), (0, "1", 2), ("node-a", 1), ("node-b", 1))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("section", ["model", "aggregation"])
@pytest.mark.parametrize("value", [math.nan, "x" * 300, None, [1]])
def test_an_option_of_no_type_that_options_have_is_one_problem(section: str, value: Any) -> None:
    part = {"options": {"f": value}} | ({"id": "mlp"} if section == "model" else {})
    problem = refusal(spec(**{section: part}))
    words = "Input should be a finite number, true or false, or a text of at most 256 characters."
    assert problem == f"{section}.options.f: {words}"


def test_a_long_name_of_an_option_is_cut_in_the_refusal() -> None:
    problem = refusal(spec(aggregation={"options": {"x" * 5000: 1}}))
    assert problem == f"aggregation.options.{'x' * 40}…: The name is longer than 64 characters."


def test_a_language_models_data_are_texts_with_every_default_filled_in() -> None:
    own = parse_spec({"name": "t", "model": {"id": "hf:mine/tiny"}, "data": {"id": "own"}})
    assert own.data.text == own.text == TextSpec()
    assert own.model_dump()["data"]["text"] == {"max_length": 128, "template": "plain", "packing": True}
    chat = {"id": "own", "text": {"template": "chat"}}
    assert parse_spec({"name": "t", "model": {"id": "hf:mine/tiny"}, "data": chat}).text.template == "chat"
    with pytest.raises(Refused, match=r"input_shape belongs to numbers"):
        parse_spec({"name": "t", "model": {"id": "hf:mine/tiny"}, "data": {"id": "own", "input_shape": [4]}})
    assert parse_spec({"name": "t", "model": {"id": "mlp"}, "data": {"id": "digits"}}).data.text is None


def test_the_largest_users_are_taken_of_natural_shares_alone() -> None:
    for kind in ("iid", "dirichlet", "shards"):
        problem = refusal(spec(data={"id": "digits", "partition": {"kind": kind, "users": "largest"}}))
        assert f"data.partition: users: largest belongs to kind natural: {kind} cuts by no users" in problem
    task = parse_spec(spec(data={"id": "digits", "partition": {"kind": "natural", "users": "largest"}}))
    assert task.data.partition.users == "largest"


def test_a_batch_has_no_more_pieces_than_examples() -> None:
    language = {"model": {"id": "hf:acme/tiny"}, "data": {"id": "shakespeare"}}
    problem = refusal(spec(**language, training={"batch_size": 4, "accumulation": 5}))
    assert "training: accumulation 5 is more than batch_size 4" in problem
    assert parse_spec(spec(**language, training={"batch_size": 4, "accumulation": 4})).training.accumulation == 4


def test_adapters_are_trained_by_adam_and_merged_exactly_unless_the_spec_says_otherwise() -> None:
    raw = {"name": "t", "model": {"id": "hf:acme/tiny"}, "data": {"id": "shakespeare"}}
    plain = parse_spec(raw)
    chosen = (plain.training.optimizer, plain.training.learning_rate, plain.training.batch_size)
    assert (*chosen, plain.aggregation.rule) == ("adam", 1e-3, 8, "lora_exact")
    asked = parse_spec(raw | {"training": {"epochs": 2, "learning_rate": 0.5}, "aggregation": {"weighting": "uniform"}})
    assert (asked.training.optimizer, asked.training.epochs, asked.training.learning_rate) == ("adam", 2, 0.5)
    assert (asked.aggregation.rule, asked.aggregation.weighting) == ("lora_exact", "uniform")
    own = parse_spec(raw | {"training": {"optimizer": "sgd"}, "aggregation": {"rule": "ffa"}})
    assert (own.training.optimizer, own.training.learning_rate, own.aggregation.rule) == ("sgd", 0.05, "ffa")
    assert parse_spec({"name": "t", "model": {"id": "mlp"}, "data": {"id": "digits"}}).training.optimizer == "sgd"
