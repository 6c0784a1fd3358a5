"""The study of adapters: differences are told apart only where the seeds allow it, and nothing is trained twice."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import lora_rounds
from benchmarks.lora import report
from benchmarks.lora_adapters import LORA, draw, pairs
from benchmarks.lora_cells import BASE, EXACT, LOCAL, OWN_A, Cell, Scale, cells, trainings
from benchmarks.lora_estimate import Pace, seconds
from benchmarks.lora_home import scale_of
from benchmarks.lora_merge import Wanted
from benchmarks.lora_rounds import Outcome, Row, advance
from benchmarks.lora_table import difference, paired, table, verdict
from benchmarks.report import NotMeasured
from federation.aggregation.rules import aggregate
from federation.errors import ErrorCode, Refused
from federation.spec import AggregationSpec
from federation.weights import DELTA, load

FOREVER = 4e9
SMALL = Scale(Path("/nowhere"), speakers=2, rounds=2, steps=3, seeds=2)


def cell(method: str, seed: int = 0, scale: Scale = SMALL) -> Cell:
    return next(each for each in cells(scale) if (each.method, each.seed) == (method, seed))


def over(method: str, seed: int, *losses: float) -> Outcome:
    """A cell that is over, with these losses on speakers of as many tokens each."""
    return Outcome(cell(method, seed), [], [[(loss, 10) for loss in losses]], over=True)


def test_an_interval_is_students_over_the_pairs() -> None:
    found = difference([2.0, 3.0, 5.0], [1.0, 1.0, 2.0])
    assert found.mean == pytest.approx(2.0)
    assert found.half == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert not found.told_apart
    assert str(found) == "+2.0000 ± 2.4843"


def test_what_is_the_same_in_every_seed_is_told_apart_and_one_seed_says_nothing() -> None:
    assert verdict(difference([1.1, 2.1, 3.1], [1.0, 2.0, 3.0])) == "higher"
    assert verdict(difference([0.9, 1.9, 2.9], [1.0, 2.0, 3.0])) == "lower"
    assert verdict(difference([1.1, 1.9, 3.0], [1.0, 2.0, 3.0])) == "not distinguishable"
    assert verdict(difference([1.1], [1.0])) == "one seed: no interval"
    assert verdict(difference([], [])) == "–"


def test_losses_weigh_by_tokens_and_a_cells_federations_count_alike() -> None:
    found = Outcome(cell(LOCAL), [], [[(1.0, 30), (4.0, 10)], [(3.0, 30), (2.0, 10)]], over=True)
    assert found.losses == [2.0, 3.0]
    assert found.loss == pytest.approx((2.0 * 30 + 3.0 * 10) / 40)
    assert found.own_loss == pytest.approx((1.0 * 30 + 2.0 * 10) / 40)


def test_the_table_pairs_seeds_that_both_have_and_counts_pairs() -> None:
    outcomes = [
        over(EXACT, 0, 4.0, 4.2),
        over(EXACT, 1, 4.1, 4.3),
        over("fedavg", 0, 4.1, 4.3),
        over("fedavg", 1, 4.2, 4.2),
        over("ffa", 1, 4.2, 4.4),
        Outcome(cell("lora_stack", 0)),
    ]
    rows = {line.split(" | ")[0].strip("| "): line for line in table(outcomes).splitlines()[2:]}
    assert "| 4.2000 (4.2000, 4.2000) | +0.0500 ± 0.6353 | not distinguishable | 3 of 4 |" in rows["fedavg"]
    assert "| 4.3000 | +0.1000 | one seed: no interval | 2 of 2 |" in rows["ffa"]
    assert rows["lora_stack"] == "| lora_stack | – | – | – | – | – | – |"
    assert "| – | – | – |" in rows[EXACT]
    assert paired(outcomes, "fedavg", EXACT).mean == pytest.approx(0.05)


def test_cells_share_first_rounds_that_are_the_same_work() -> None:
    def first(method: str) -> set[Any]:
        return {work for _, round, work in trainings(cell(method), SMALL) if round == 1}

    assert first("fedavg") == first(EXACT) == first("lora_stack") == first(LOCAL)
    assert first("fedavg" + OWN_A) == first(EXACT + OWN_A)
    for other in ("ffa", "fedavg" + OWN_A, "centralised, all nodes' steps"):
        assert not first("fedavg") & first(other)
    assert trainings(cell(BASE), SMALL) == []


def test_an_estimate_counts_what_is_left_and_shared_work_once() -> None:
    two = [cell("fedavg"), cell(EXACT)]
    pace = Pace(step_s=1.0, score_s=10.0)
    nothing = {each.name: Outcome(each) for each in two}
    assert list(seconds(two, SMALL, nothing, pace).values()) == [2 * 2 * 3 + 2 * 10.0, 2 * 3 + 2 * 10.0]
    kept = nothing | {two[0].name: Outcome(two[0], [Row(0, 1, 4.0, 0.1, 4.0, 1, 1)])}
    assert seconds(two, SMALL, kept, pace)[two[0].name] == 2 * 3 + 10.0


def test_centralised_training_has_the_steps_of_all_nodes_on_the_texts_of_all() -> None:
    found = cell("centralised, all nodes' steps")
    assert (found.federations, found.steps) == ((((0, 1),),), 6)


def test_a_cell_that_is_refused_says_why_and_keeps_the_others_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: Any) -> Any:
        raise Refused(ErrorCode.BAD_UPDATE, "the loss became nan.", "lower the rate")

    monkeypatch.setattr(lora_rounds, "_Play", refusing)
    found = advance(cell(EXACT), SMALL, tmp_path, FOREVER)
    assert (found.over, found.state) == (False, "refused: the loss became nan (bad_update)")
    told = report([found, over(EXACT, 1, 4.0, 4.1)], SMALL, "x", "here", 60.0)
    assert "- missing: lora_exact, seed 0 (refused: the loss became nan (bad_update))." in told
    assert "| lora_exact | 4.0500 |" in told


def test_without_a_base_model_the_reason_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("POTLUCK_MODELS", raising=False)
    with pytest.raises(NotMeasured, match=r"is not set\. To mend it: python -m scripts\.smollm2 "):
        scale_of(quick=False)
    monkeypatch.setenv("POTLUCK_MODELS", str(tmp_path))
    with pytest.raises(NotMeasured, match=r"there is no HuggingFaceTB/SmolLM2-135M-Instruct in .+ scripts\.smollm2"):
        scale_of(quick=False)


def test_the_merge_is_judged_by_a_dense_mean_that_knows_a_worse_one(tmp_path: Path) -> None:
    contributions = draw(tmp_path, 3, layers=1)
    wanted = Wanted(tmp_path, contributions, layers=1)

    def made(rule: str) -> dict[str, torch.Tensor]:
        spec = AggregationSpec.model_validate({"rule": rule})
        found = aggregate(spec, tmp_path / "base", contributions, adapters=LORA).weights
        return found | {pair.b: LORA.scaling * found[pair.b] for pair in pairs(1)}

    assert wanted.above_best(made("lora_exact")) < 1e-6
    assert wanted.errors(made("lora_stack")).over_all < 1e-6
    assert wanted.above_best(made("fedavg")) > 1e-4
    assert wanted.best.over_all > 0.01


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Scale:
    monkeypatch.setenv("POTLUCK_DATA", "")  # put back afterwards
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    return scale_of(quick=True)


@pytest.mark.e2e
def test_an_interrupted_cell_goes_on_to_the_same_bits_and_a_kept_training_is_not_made_again(
    tiny: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = cell(EXACT, scale=tiny)
    whole = advance(exact, tiny, tmp_path / "whole", FOREVER)
    assert (whole.over, len(whole.rows)) == (True, tiny.rounds)
    real, made = lora_rounds.make_update, []

    def counted(*what: Any, **named: Any) -> Any:
        found = real(*what, **named)
        made.append(named["seed"])
        return found

    monkeypatch.setattr(lora_rounds, "make_update", counted)
    monkeypatch.setattr(lora_rounds, "time", _Until(lambda: len(made) >= 3))
    part = advance(exact, tiny, tmp_path / "parts", FOREVER)
    assert (part.over, len(part.rows), len(made)) == (False, 1, 3)
    monkeypatch.setattr(lora_rounds, "time", time)
    assert advance(exact, tiny, tmp_path / "parts", FOREVER) == whole
    assert len(made) == len(set(made)) == tiny.rounds * tiny.speakers
    advance(cell("fedavg", scale=tiny), tiny, tmp_path / "parts", FOREVER)
    assert len(made) == (2 * tiny.rounds - 1) * tiny.speakers


class _Until:
    """The module `time`, whose clock shows the deadline as soon as something holds."""

    def __init__(self, up: Any) -> None:
        self._up = up

    def time(self) -> float:
        return FOREVER if self._up() else 0.0


@pytest.mark.e2e
def test_what_a_node_sends_that_began_with_an_a_of_its_own_leads_from_the_version_to_its_factors(
    tiny: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, given, seen = lora_rounds.make_update, [], []

    def noted(spec: Any, assignment: Any, model_file: Path, *what: Any, **named: Any) -> Any:
        given.append(load(model_file))
        return real(spec, assignment, model_file, *what, **named)

    def watched(spec: Any, base: Path, contributions: Any, **named: Any) -> Any:
        seen.append((load(base), [load(each.path) for each in contributions]))
        return aggregate(spec, base, contributions, **named)

    monkeypatch.setattr(lora_rounds, "make_update", noted)
    monkeypatch.setattr(lora_rounds, "aggregate", watched)
    found = advance(cell("fedavg" + OWN_A, scale=tiny), tiny, tmp_path, FOREVER)
    version, updates = seen[0]
    starts = given[: tiny.speakers]
    name = next(name for name in version if ".lora_A." in name)
    assert not torch.equal(starts[0][name], starts[1][name])
    for start, update in zip(starts, updates, strict=True):
        local = version[name] + update[DELTA + name]
        moved = (local - start[name]).norm() / start[name].norm()
        assert 0 < moved < 0.2
        assert (version[name] - start[name]).norm() > start[name].norm()
    assert all(torch.equal(given[tiny.speakers + at][name], seen[1][0][name]) for at in range(tiny.speakers))
    assert found.rows[0].lora_error is not None
    assert found.rows[0].lora_error > 0.3
