"""The matrix of what goes together, cell by cell; tests/mcp_server asks a server about every cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federation.aggregation.compatibility import Cell, cells, fewest_updates, problems, refusals
from federation.aggregation.methods import METHODS
from federation.aggregation.weighting import shares
from federation.errors import Refused
from federation.rounds import fewest_in_a_round, select_cohort
from federation.spec import AggregationSpec, CohortSpec, TaskSpec, parse_spec
from tests.federation.aggregation.lora.small_adapters import dense, small_round
from tests.federation.aggregation.small_round import Round, draw, row_of

LORA = {"lora_exact", "lora_stack", "ffa"}
MODELS = {"classifier": {"id": "mlp"}, "adapter": {"id": "hf:mine/tiny", "lora": {"r": 4}}}


def spec(aggregation: dict[str, Any], *, kind: str = "classifier", **changes: Any) -> TaskSpec:
    raw = {"name": "t", "model": MODELS[kind], "data": {"id": "digits"}, "cohort": {"size": 20, "quorum": 20}}
    raw["training"] = {"optimizer": "sgd"}  # which some rules ask for
    return parse_spec(raw | {"aggregation": aggregation} | changes)


def found(aggregation: dict[str, Any], **changes: Any) -> dict[str, str]:
    answer = problems(spec(aggregation, **changes))
    assert all(each.problem and each.mend for each in answer)
    return {each.field: each.problem for each in answer}


def named(cell: Cell) -> str:
    return f"{cell.model}-{cell.rule}-{cell.mixing}-{cell.weighting}"


def allowed(kind: str) -> list[Cell]:
    return [cell for cell in cells() if cell.model == kind and not refusals(cell)]


@pytest.mark.parametrize("cell", allowed("classifier"), ids=named)
def test_an_allowed_cell_aggregates_a_round(cell: Cell) -> None:
    assert found({"rule": cell.rule, "mixing": cell.mixing, "weighting": cell.weighting}) == {}
    rows = draw(1, 20)
    with Round(rows, counts=range(1, 21)) as small:
        done = small.run(cell.rule, mixing=cell.mixing, weighting=cell.weighting)
    answer = row_of(done.weights)
    assert np.isfinite(answer).all()
    if METHODS[cell.rule].robust:  # within what the updates say, coordinate by coordinate
        assert (np.abs(answer) <= np.abs(rows).max(axis=0)).all()
    assert answer.any()


@pytest.mark.parametrize("cell", allowed("adapter"), ids=named)
def test_an_allowed_cell_aggregates_a_round_of_adapters(cell: Cell) -> None:
    aggregation = {"rule": cell.rule, "mixing": cell.mixing, "weighting": cell.weighting}
    assert found(aggregation, kind="adapter") == {}
    counts = list(range(1, 21))
    with small_round(ranks=[2, 4] * 10, r=4, rule=cell.rule, counts=counts, head=True) as small:
        done = small.run(**aggregation)
        rows, start = small.effective, dense(small.version, small.lora.scaling)
    moved = dense(done.weights, small.lora.scaling) - start
    assert np.isfinite(moved).all()
    assert moved.any()
    assert [each.norm for each in done.diagnoses] == pytest.approx(np.linalg.norm(rows, axis=1).tolist())
    if cell.rule in ("lora_stack", "ffa"):  # exact, to the rounding of float32
        weights = [each.weight or 0.0 for each in done.diagnoses]
        assert weights == pytest.approx(shares(counts, cell.weighting))
        assert moved == pytest.approx(np.array(weights) @ rows, abs=1e-5)


@pytest.mark.parametrize("cell", [cell for cell in cells() if refusals(cell)], ids=named)
def test_a_refused_cell_says_which_field_and_why(cell: Cell) -> None:
    aggregation = {"rule": cell.rule, "mixing": cell.mixing, "weighting": cell.weighting}
    answer = found(aggregation, kind=cell.model)
    assert answer
    assert answer == {each.field: each.problem for each in refusals(cell)}
    assert answer.keys() <= {"aggregation.rule", "aggregation.mixing", "aggregation.weighting"}


def test_every_rule_has_an_allowed_cell() -> None:
    assert {cell.rule for cell in allowed("classifier")} == METHODS.keys() - LORA
    unfit = {"scaffold", "fednova", "median", "trimmed_mean", "bulyan"}
    assert {cell.rule for cell in allowed("adapter")} == METHODS.keys() - unfit


@pytest.mark.parametrize(
    ("rule", "kind", "says"),
    [
        ("lora_exact", "classifier", "models of the catalogue have none"),
        ("ffa", "classifier", "models of the catalogue have none"),
        ("median", "adapter", "other factors make the same product"),
        ("bulyan", "adapter", "other factors make the same product"),
        ("scaffold", "adapter", "deltas as sums of steps"),
        ("fednova", "adapter", "deltas as sums of steps"),
    ],
)
def test_a_rule_that_does_not_fit_the_kind_of_model_says_why(rule: str, kind: str, says: str) -> None:
    assert says in found({"rule": rule}, kind=kind)["aggregation.rule"]


def test_a_pretrained_model_is_merged_exactly_unless_another_rule_is_asked_for() -> None:
    assert spec({}, kind="adapter").aggregation.rule == "lora_exact"
    assert found({}, kind="adapter") == {}


@pytest.mark.parametrize("rule", [name for name, method in METHODS.items() if method.robust])
@pytest.mark.parametrize("mixing", ["none", "nnm", "bucketing"])
@pytest.mark.parametrize("f", [0, 1, 2, 3])
def test_the_fewest_updates_are_the_fewest_that_aggregate(rule: str, mixing: str, f: int) -> None:
    aggregation = {"rule": rule, "mixing": mixing, "bucket_size": 3, "options": {"f": f}}
    fewest = fewest_updates(AggregationSpec.model_validate(aggregation), f)
    with Round(draw(0, fewest)) as small:
        small.run(**aggregation)
        if fewest > 1:
            with pytest.raises(Refused, match=r"no answer for|cannot withstand"):
                small.run(contributions=small.first(fewest - 1), **aggregation)
    enough = {"size": 100, "quorum": fewest}
    assert found(aggregation, cohort=enough) == {}
    if fewest > 1:
        answer = found(aggregation, cohort=enough | {"quorum": fewest - 1})
        assert f"needs {fewest}" in answer["cohort.quorum"]


def test_without_f_a_rule_has_to_withstand_one_at_the_least() -> None:
    assert "to withstand 1 of them krum needs 5" in found({"rule": "krum"}, cohort={"size": 8})["cohort.quorum"]
    assert found({"rule": "krum"}, cohort={"size": 9}) == {}  # half of 9, rounded up
    assert found({"rule": "krum", "options": {"f": 0}}, cohort={"size": 6}) == {}
    assert "withstand 1 of them bulyan needs 7" in found({"rule": "bulyan"}, cohort={"size": 6})["cohort.quorum"]


def test_the_fewest_of_a_cohort_are_what_its_smallest_round_closes_with() -> None:
    for cohort in (
        {"size": 7}, {"size": 7, "quorum": 5}, {"fraction": 0.5, "min_nodes": 9}, {"fraction": 0.01}, {"fraction": 1.0},
        {"fraction": 0.3, "min_nodes": 10, "quorum": 2}, {"size": 3, "min_nodes": 40},
    ):  # fmt: skip
        parsed = CohortSpec.model_validate(cohort)
        drawn = [select_cohort(parsed, [f"n{i:02d}" for i in range(n)], 0) for n in range(1, 60)]
        assert fewest_in_a_round(parsed) == min(each.quorum for each in drawn if each is not None)


@pytest.mark.parametrize(
    ("field", "says", "aggregation"),
    [
        ("aggregation.options.tau", "no option 'tau'", {"rule": "krum", "options": {"tau": 1}}),
        ("aggregation.options.ff", "no option 'ff'", {"rule": "krum", "options": {"ff": 1}}),
        ("aggregation.options.mu", "no option 'mu'", {"rule": "fedavg", "options": {"mu": 1}}),
        ("aggregation.options.f", "greater than or equal to 0", {"rule": "krum", "options": {"f": -1}}),
        ("aggregation.options.f", "valid integer", {"rule": "krum", "options": {"f": True}}),
        ("aggregation.options.f", "valid integer", {"rule": "krum", "options": {"f": "2"}}),
        ("aggregation.options.beta", "less than 0.5", {"rule": "trimmed_mean", "options": {"beta": 0.5}}),
        ("aggregation.options.beta", "drops 0 of", {"rule": "trimmed_mean", "options": {"f": 2, "beta": 0.0}}),
        ("aggregation.options.tau", "greater than or equal to", {"rule": "fedadam", "options": {"tau": 0.0}}),
        ("aggregation.options.beta1", "less than 1", {"rule": "fedyogi", "options": {"beta1": 1}}),
        ("aggregation.options.m", "m = 19 of 20", {"rule": "multi_krum", "options": {"f": 2, "m": 19}}),
        ("aggregation.options.beta", "drops 1 of 20", {"rule": "trimmed_mean", "options": {"f": 2, "beta": 0.09}}),
        ("aggregation.options.beta", "drops 0 of 20", {"rule": "trimmed_mean", "options": {"beta": 0.01}}),
        ("aggregation.options.mu", "below 1", {"rule": "fedprox", "options": {"mu": 20}}),
        ("aggregation.options.mu", "below 1", {"rule": "fednova", "options": {"mu": 20.0}}),
    ],
)
def test_an_option_that_cannot_be_is_named(field: str, says: str, aggregation: dict[str, Any]) -> None:
    answer = found(aggregation)
    assert answer.keys() == {field}
    assert says in answer[field]


def test_options_within_bounds_are_taken() -> None:
    for aggregation in (
        {"rule": "trimmed_mean", "options": {"f": 2, "beta": 0.1}}, {"rule": "trimmed_mean", "options": {"beta": 0}},
        {"rule": "multi_krum", "options": {"f": 2, "m": 18}}, {"rule": "fedprox", "options": {"mu": 1}},
        {"rule": "geometric_median", "options": {"smoothing": 1e-8, "iterations": 4}},
    ):  # fmt: skip
        assert found(aggregation) == {}


@pytest.mark.parametrize(
    ("rule", "options", "training", "fields"),
    [
        ("fednova", {}, {"optimizer": "adam"}, {"training.optimizer"}),
        ("fednova", {}, {"momentum": 0.9}, set()),
        ("fednova", {"mu": 0.1}, {}, set()),
        ("fednova", {"mu": 0.1}, {"momentum": 0.9}, {"training.momentum"}),
        ("scaffold", {}, {"optimizer": "adam"}, {"training.optimizer"}),
        ("scaffold", {}, {"momentum": 0.9}, {"training.momentum"}),
        ("scaffold", {"eta": 2.0}, {"weight_decay": 0.01}, set()),
        ("fedprox", {"mu": 1.0}, {"optimizer": "adam", "learning_rate": 2.0}, set()),
        ("fedavg", {}, {"optimizer": "adam"}, set()),
    ],
)
def test_a_rule_says_what_it_asks_of_training(
    rule: str, options: dict[str, Any], training: dict[str, Any], fields: set[str]
) -> None:
    assert found({"rule": rule, "options": options}, training=training).keys() == fields
