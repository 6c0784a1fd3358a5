"""What goes together: rule × mixing × weighting × model kind, and what a rule asks of the cohort and of training.

One matrix for all: tasks are refused by it before they exist, docs/rules.md prints it, and a test aggregates a round in
every cell that it allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from pydantic import ValidationError

from federation.aggregation.methods import METHODS, Kind, options_of
from federation.aggregation.trimmed_mean import trimmed
from federation.rounds import fewest_in_a_round
from federation.spec import AggregationSpec, Problem, TaskSpec

Mixing = Literal["none", "nnm", "bucketing"]
Weighting = Literal["examples", "uniform", "capped"]
ModelKind = Literal["classifier", "adapter"]

MIXINGS: tuple[Mixing, ...] = ("none", "nnm", "bucketing")
WEIGHTINGS: tuple[Weighting, ...] = ("examples", "uniform", "capped")
MODEL_KINDS: tuple[ModelKind, ...] = ("classifier", "adapter")

_TAKES_CAPPED = frozenset({"norm_clipping"})  # a robust rule whose paper has a weighted mean


@dataclass(frozen=True)
class Cell:
    """One combination."""

    rule: str
    mixing: Mixing
    weighting: Weighting
    model: ModelKind = "classifier"


def cells() -> Iterator[Cell]:
    """Every combination there is."""
    for rule, mixing, weighting, model in product(METHODS, MIXINGS, WEIGHTINGS, MODEL_KINDS):
        yield Cell(rule, mixing, weighting, model)


def refusals(cell: Cell) -> list[Problem]:
    """Why a combination makes no sense; nothing when it does."""
    found = [] if (unfit := _of_model(cell)) is None else [unfit]
    robust = METHODS[cell.rule].robust
    if cell.mixing != "none" and not robust:
        problem = f"{cell.mixing} prepares updates for a robust rule; {cell.rule} takes the mean of all of them anyway"
        found.append(_problem("mixing", problem, "set aggregation.mixing to none, or choose a robust rule"))
    if robust and cell.weighting == "examples":
        problem = f"with weights by examples a node chooses its own weight, which {cell.rule} could not withstand"
        found.append(_problem("weighting", problem, "leave aggregation.weighting out, or set it to uniform"))
    if robust and cell.weighting == "capped" and (cell.rule not in _TAKES_CAPPED or cell.mixing != "none"):
        with_mixing = "" if cell.mixing == "none" else f" after {cell.mixing}"
        problem = f"{cell.rule}{with_mixing} counts heads: it has no place for weights"
        found.append(_problem("weighting", problem, "leave aggregation.weighting out, or set it to uniform"))
    return found


def _of_model(cell: Cell) -> Problem | None:
    """Why the rule makes no sense for models of this kind."""
    rule, kind = cell.rule, METHODS[cell.rule].kind
    if cell.model == "classifier":
        if kind is not Kind.ADAPTER:
            return None
        problem = f"{rule} puts the factors of adapters together, and models of the catalogue have none"
        return _problem("rule", problem, "set aggregation.rule to fedavg, or choose a pretrained model, hf:...")
    if kind is Kind.COORDINATE:
        problem = f"{rule} judges coordinate by coordinate, and those of a factor mean nothing by themselves: other "
        problem += "factors make the same product"
        mend = "set aggregation.rule to one that goes by distances, such as multi_krum or geometric_median"
        return _problem("rule", problem, mend)
    if rule in ("scaffold", "fednova"):
        problem = f"{rule} reckons with deltas as sums of steps, and the change that two factors make together is none"
        return _problem("rule", problem, "set aggregation.rule to lora_exact")
    return None


def fewest_updates(aggregation: AggregationSpec, f: int) -> int:
    """The fewest updates among which the rule withstands f Byzantine ones; with bucketing, so many fill its buckets."""
    fewest = METHODS[aggregation.rule].fewest(f)
    return (fewest - 1) * aggregation.bucket_size + 1 if aggregation.mixing == "bucketing" else fewest


def problems(spec: TaskSpec) -> list[Problem]:
    """Everything that keeps the task's rule from working, by field."""
    aggregation = spec.aggregation
    found = refusals(Cell(aggregation.rule, aggregation.mixing, aggregation.weighting_or_default, model_kind(spec)))
    wrong = option_problems(aggregation)
    if wrong:
        return found + wrong
    options = options_of(aggregation.rule, aggregation.options)
    return [*found, *_of_cohort(spec, options), *_of_training(spec, options)]


def option_problems(aggregation: AggregationSpec) -> list[Problem]:
    """What is wrong with the rule's own options; nothing when they are right."""
    try:
        options_of(aggregation.rule, aggregation.options)
    except ValidationError as error:
        return _wrong_options(aggregation.rule, error)
    return []


def model_kind(spec: TaskSpec) -> ModelKind:
    """Which kind of model a task's is: of a pretrained one only adapters are trained."""
    return "adapter" if spec.model.pretrained else "classifier"


def _of_cohort(spec: TaskSpec, options: Any) -> Iterator[Problem]:
    """A round may close with its quorum, so what holds has to hold there."""
    rule, method = spec.aggregation.rule, METHODS[spec.aggregation.rule]
    if not method.robust:
        return
    quorum = fewest_in_a_round(spec.cohort)
    f = 1 if options.f is None else int(options.f)
    fewest = fewest_updates(spec.aggregation, f)
    if quorum < fewest:
        buckets = f" in buckets of {spec.aggregation.bucket_size}" if spec.aggregation.mixing == "bucketing" else ""
        problem = f"a round may close with {quorum} updates; to withstand {f} of them {rule}{buckets} needs {fewest}"
        mend = f"raise cohort.quorum to {fewest}"
        if f:
            mend += f", or set aggregation.options.f to {'0, which withstands none' if f == 1 else 'less'}"
        yield Problem(field="cohort.quorum", problem=problem, mend=mend)
        return
    seen = math.ceil(quorum / spec.aggregation.bucket_size) if spec.aggregation.mixing == "bucketing" else quorum
    if rule == "multi_krum" and options.m is not None and options.m > seen - f:
        problem = f"m = {options.m} of {seen} updates would average some of the f = {f} that may be Byzantine"
        yield _problem("options.m", problem, f"lower aggregation.options.m to {seen - f}, or raise cohort.quorum")
    if rule == "trimmed_mean" and options.beta is not None:
        dropped = trimmed(seen, options.beta)
        unprotected = options.beta == 0 and not options.f  # which one may ask for
        if dropped < f and not unprotected:
            problem = f"beta = {options.beta:g} drops {dropped} of {seen} values at each end; "
            problem += f"to withstand f = {f} it takes {f}"
            mend = "leave aggregation.options.beta out, raise it, or raise cohort.quorum"
            yield _problem("options.beta", problem, mend)


def _of_training(spec: TaskSpec, options: Any) -> Iterator[Problem]:
    rule, training = spec.aggregation.rule, spec.training
    if rule in ("fednova", "scaffold") and training.optimizer != "sgd":
        problem = f"{rule} counts the way of SGD's steps; {training.optimizer} goes by another measure"
        yield Problem(field="training.optimizer", problem=problem, mend="set training.optimizer to sgd")
    if rule == "scaffold" and training.momentum:
        problem = "scaffold's control variates correct plain SGD's steps; with momentum they would be wrong"
        yield Problem(field="training.momentum", problem=problem, mend="set training.momentum to 0")
    if rule not in ("fedprox", "fednova"):
        return
    if rule == "fednova" and training.momentum and options.mu:
        problem = "FedNova has a formula for momentum and one for a proximal term, and none for both"
        yield Problem(
            field="training.momentum", problem=problem, mend="set training.momentum or aggregation.options.mu to 0"
        )
    if training.optimizer == "sgd" and options.mu * training.learning_rate >= 1:
        problem = "each step would overshoot the round's start: learning_rate × mu is "
        problem += f"{options.mu * training.learning_rate:g}, and has to be below 1"
        yield _problem("options.mu", problem, "lower aggregation.options.mu or training.learning_rate")


def _wrong_options(rule: str, error: ValidationError) -> list[Problem]:
    fields = METHODS[rule].options.model_fields
    known = ", ".join(fields) or "none"
    found = []
    for detail in error.errors(include_url=False, include_input=False):
        name = str(detail["loc"][0])
        if detail["type"] == "extra_forbidden":
            problem, mend = f"{rule} has no option {name!r}", f"its options: {known}"
        else:
            problem, mend = detail["msg"], f"{name}: {fields[name].description}"
        found.append(_problem(f"options.{name}", problem, mend))
    return found


def _problem(field: str, problem: str, mend: str) -> Problem:
    return Problem(field=f"aggregation.{field}", problem=problem, mend=mend)
