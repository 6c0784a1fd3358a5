"""Whole federations without a network."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_world import factory, mlp, population, task, weights_of

from federation.aggregation.contributions import Contribution
from federation.aggregation.rules import aggregate
from federation.errors import ErrorCode, Refused
from federation.evaluation import evaluate
from federation.examples import Examples
from federation.rounds import select_cohort
from federation.simulation.population import Population
from federation.simulation.run import simulate
from federation.simulation.simulated_round import SimulatedRound, Start, Trained
from federation.spec import CohortSpec, derive_seed
from federation.training import Stopped, train
from federation.weights import Tensors, pack_update, subtract, to_bytes


def digest(weights: Tensors) -> str:
    return hashlib.sha256(to_bytes(weights)).hexdigest()


def run(small: Population | None = None, *, of: dict[str, Any] | None = None, **how: Any) -> list[SimulatedRound]:
    return list(simulate(task(**(of or {})), small or population(), **how))


@pytest.mark.parametrize(
    "aggregation",
    [
        {"rule": "fedavg"},
        {"rule": "fedprox", "options": {"mu": 0.5}},
        {"rule": "fednova"},
        {"rule": "fedadam"},
        {"rule": "krum", "mixing": "bucketing", "options": {"f": 0}},
        {"rule": "trimmed_mean"},
    ],
    ids=lambda aggregation: aggregation["rule"],
)
def test_a_simulation_makes_the_models_that_nodes_and_their_files_would(
    aggregation: dict[str, Any], tmp_path: Path
) -> None:
    """Cohorts, seeds, training, counts, order and rule are spelt out here as a server and its nodes go about them."""
    small = population(10)
    spec = task(aggregation=aggregation, cohort={"fraction": 0.8}, training={"batch_size": 8, "epochs": 2})
    found = list(simulate(spec, small, engine="loop"))
    weights, state = weights_of(), {}
    for each in found:
        cohort = select_cohort(
            CohortSpec(size=8), [c.name for c in small.clients], derive_seed(11, "cohort", each.round)
        )
        assert cohort is not None
        assert each.participants == cohort.members
        (tmp_path / "base").write_bytes(to_bytes(weights))
        contributions = []
        for name in cohort.members:
            index = int(name.removeprefix("client-"))
            model = factory()()
            model.load_state_dict(weights)
            seed = derive_seed(11, "train", each.round, index)
            examples = small.clients[index].examples(small.pool)
            result = train(model, examples, spec.training, seed=seed, proximal=spec.aggregation.proximal)
            (tmp_path / name).write_bytes(pack_update(subtract(model.state_dict(), weights)))
            contributions.append(Contribution(name, name, tmp_path / name, result.num_examples, result.num_steps))
        seed = derive_seed(11, "aggregate", each.round)
        made = aggregate(
            spec.aggregation, tmp_path / "base", contributions, training=spec.training, state=state, seed=seed
        )
        weights, state = made.weights, made.state
        assert digest(each.weights) == digest(weights)
        model.load_state_dict(weights)
        assert small.test is not None
        assert each.accuracy == evaluate(model, small.test).accuracy


@pytest.mark.parametrize("engine", ["loop", "vectorized"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(engine: Any) -> None:
    of = {"cohort": {"fraction": 0.5}}
    once, again = (run(of=of, engine=engine) for _ in range(2))
    assert [digest(each.weights) for each in once] == [digest(each.weights) for each in again]
    assert [each.participants for each in once] == [each.participants for each in again]
    other = run(of=of | {"seed": 12}, engine=engine)
    assert digest(once[-1].weights) != digest(other[-1].weights)


@pytest.mark.e2e
def test_processes_end_at_the_loops_very_model() -> None:
    spread = run(of={"rounds": 2}, engine="processes", workers=1)
    assert [digest(each.weights) for each in spread] == [digest(each.weights) for each in run(engine="loop")[:2]]


@pytest.mark.parametrize("rule", ["fedavg", "fedadam"])
def test_a_simulation_that_was_broken_off_goes_on_to_the_same_bits(rule: str) -> None:
    of = {"aggregation": {"rule": rule}, "cohort": {"fraction": 0.5}, "rounds": 4}
    undisturbed = run(of=of)
    stopped = undisturbed[1]
    went_on = run(of=of, start=Start(stopped.round, stopped.weights, stopped.state))
    assert [(each.round, digest(each.weights)) for each in went_on] == [
        (each.round, digest(each.weights)) for each in undisturbed[2:]
    ]


def test_a_simulation_does_not_go_on_from_another_tasks_model() -> None:
    with pytest.raises(Refused, match="other tensors"):
        run(start=Start(1, {"weight": torch.zeros(2)}, {}))


def test_it_learns_and_says_what_it_did() -> None:
    small = population(8)
    found = run(small, of={"rounds": 8, "training": {"learning_rate": 0.3, "batch_size": 5, "epochs": 2}})
    first, last = found[0], found[-1]
    assert [each.round for each in found] == list(range(1, 9))
    assert last.accuracy is not None
    assert last.accuracy > 0.9
    assert last.train_loss < first.train_loss
    assert last.per_class_accuracy is not None
    assert np.mean([share for share in last.per_class_accuracy if share is not None]) == pytest.approx(last.accuracy)
    assert first.participants == tuple(client.name for client in small.clients)
    assert first.bytes_down == 8 * len(to_bytes(weights_of()))
    assert first.bytes_up == 8 * len(pack_update(weights_of()))
    assert len(first.diagnoses) == 8
    assert all(each.norm > 0 and each.weight == pytest.approx(1 / 8) for each in first.diagnoses)
    assert first.seconds > 0
    assert not first.void


def test_updates_above_the_budget_go_to_files_and_come_to_the_same_bits(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(_: Trained) -> None:
        seen.append(len(list(tmp_path.glob("*/*"))))

    for rule in ("fedavg", "krum", "median"):
        of = {"aggregation": {"rule": rule}}
        spooled = run(of=of, memory_bytes=1000, folder=tmp_path, on_progress=look, engine="loop")
        assert [digest(each.weights) for each in spooled] == [
            digest(each.weights) for each in run(of=of, engine="loop")
        ]
    assert max(seen) == 8
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("memory_bytes", [1 << 20, 1000])
def test_updates_that_are_too_long_are_left_out_and_too_few_make_no_round(memory_bytes: int) -> None:
    free = run(of={"rounds": 1})[0]
    norms = sorted(each.norm for each in free.diagnoses)
    names = {each.norm: each.upload_id for each in free.diagnoses}
    bound = (norms[5] + norms[6]) / 2
    bounded = run(of={"rounds": 1, "aggregation": {"max_update_norm": bound}}, memory_bytes=memory_bytes)[0]
    assert bounded.refused == tuple(sorted(names[norm] for norm in norms[6:]))
    assert len(bounded.diagnoses) == 6
    assert not bounded.void
    void = run(of={"rounds": 1, "aggregation": {"max_update_norm": norms[2]}}, memory_bytes=memory_bytes)[0]
    assert void.void
    assert digest(void.weights) == digest(weights_of())


def test_the_server_scores_every_so_many_rounds_and_the_last() -> None:
    found = run(of={"rounds": 5, "evaluation": {"every": 2}})
    assert [each.accuracy is not None for each in found] == [False, True, False, True, True]
    untested = Population(population().clients, population().pool, None, factory())
    assert run(untested)[-1].accuracy is None


def test_who_watches_is_told_of_every_client_and_can_stop() -> None:
    seen: list[tuple[int, int, int]] = []
    rounds = simulate(
        task(),
        population(),
        engine="loop",
        on_progress=lambda at: seen.append((at.round, at.done, at.clients)),
        should_stop=lambda: len(seen) == 11,
    )
    assert next(rounds).round == 1
    with pytest.raises(Stopped):
        next(rounds)
    assert seen == [(1, done, 8) for done in range(1, 9)] + [(2, done, 8) for done in range(1, 4)]


# Attacks


@pytest.mark.parametrize("attack", ["sign_flip", "gaussian", "alie", "ipm", "min_max"])
def test_a_forged_update_takes_the_place_of_the_trained_one(attack: str) -> None:
    honest, forged = run(of={"rounds": 1})[0], run(of={"rounds": 1}, attack=attack, attackers=0.25)[0]
    assert len(forged.attackers) == 2
    assert honest.attackers == ()
    for one, other in zip(honest.diagnoses, forged.diagnoses, strict=True):
        assert (one.norm == pytest.approx(other.norm, rel=1e-6)) == (
            other.upload_id not in forged.attackers or attack == "sign_flip"
        )
        if attack == "sign_flip" and other.upload_id in forged.attackers:
            assert other.cosine < 0
    assert digest(honest.weights) != digest(forged.weights)


def test_a_robust_rule_withstands_what_the_mean_does_not() -> None:
    small, of = population(11), {"rounds": 6, "training": {"learning_rate": 0.3, "batch_size": 5, "epochs": 2}}
    how: dict[str, Any] = {"attack": "gaussian", "attackers": 0.4}
    broken = run(small, of=of, **how)[-1].accuracy
    safe = run(small, of=of | {"aggregation": {"rule": "krum", "options": {"f": 4}}}, **how)[-1]
    assert broken is not None
    assert safe.accuracy is not None
    assert safe.accuracy > 0.9
    assert broken < safe.accuracy - 0.1
    excluded = {each.upload_id for each in safe.diagnoses if each.reason.startswith("excluded")}
    assert set(safe.attackers) <= excluded


def test_flipped_labels_are_learnt() -> None:
    of = {"rounds": 8, "training": {"learning_rate": 0.3, "batch_size": 5, "epochs": 2}}
    accuracy = run(of=of, attack="label_flip", attackers=1.0)[-1].accuracy
    assert accuracy is not None
    assert accuracy < 0.1


def test_a_backdoors_success_is_a_metric_beside_an_accuracy_that_stays() -> None:
    of = {"rounds": 10, "training": {"learning_rate": 0.3, "batch_size": 5, "epochs": 3}}
    clean = run(of=of)[-1]
    planted = run(of=of, attack="backdoor", attackers=0.5)[-1]
    assert clean.backdoor is None
    assert planted.backdoor is not None
    assert planted.accuracy is not None
    assert planted.backdoor > 0.8
    assert planted.accuracy > 0.8


def test_attackers_are_drawn_once_for_all_rounds() -> None:
    found = run(of={"cohort": {"fraction": 0.5}, "rounds": 6}, attack="sign_flip", attackers=0.25)
    assert len({name for each in found for name in each.attackers}) <= 2
    assert any(each.attackers for each in found)


# Refusals


@pytest.mark.parametrize(
    ("of", "how", "code", "words"),
    [
        ({}, {"attack": "bribe", "attackers": 0.2}, ErrorCode.INVALID_ARGUMENT, "no attack 'bribe'"),
        ({}, {"attack": "ipm"}, ErrorCode.INVALID_ARGUMENT, "are no attackers"),
        ({}, {"attackers": 0.5}, ErrorCode.INVALID_ARGUMENT, "no attack is named"),
        ({}, {"attack": "ipm", "attackers": 1.5}, ErrorCode.INVALID_ARGUMENT, "no share"),
        (
            {"aggregation": {"rule": "scaffold"}, "training": {"momentum": 0.9}},
            {},
            ErrorCode.INVALID_SPEC,
            "control variates",
        ),
        ({"aggregation": {"rule": "krum", "options": {"f": 3}}}, {}, ErrorCode.INVALID_SPEC, "krum needs 9"),
        ({"aggregation": {"rule": "fedavg", "options": {"mu": 3}}}, {}, ErrorCode.INVALID_SPEC, "no option 'mu'"),
        ({"aggregation": {"rule": "fedavg", "mixing": "nnm"}}, {}, ErrorCode.INVALID_SPEC, "robust rule"),
        ({"model": {"id": "hf:a/b"}}, {}, ErrorCode.INVALID_SPEC, "hf:a/b is a pretrained language model"),
        ({"cohort": {"size": 9}}, {}, ErrorCode.INVALID_SPEC, "needs 9 clients, and there are 8"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(
    of: dict[str, Any], how: dict[str, Any], code: ErrorCode, words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        simulate(task(**of), population(), **how)
    assert caught.value.code is code


@pytest.mark.parametrize("attackers", [0.25, 1.0])
@pytest.mark.parametrize("attack", ["sign_flip", "gaussian", "alie", "ipm", "min_max", "label_flip", "backdoor"])
def test_an_attack_on_updates_in_files_comes_to_the_same_bits(attack: str, attackers: float, tmp_path: Path) -> None:
    of: dict[str, Any] = {"rounds": 2, "aggregation": {"rule": "trimmed_mean", "options": {"beta": 0.25}}}
    how: dict[str, Any] = {"of": of, "attack": attack, "attackers": attackers}
    in_memory = run(**how)
    in_files = run(**how, memory_bytes=1000, folder=tmp_path)
    assert [digest(each.weights) for each in in_files] == [digest(each.weights) for each in in_memory]
    assert digest(in_memory[-1].weights) != digest(run(of=of)[-1].weights)
    assert not list(tmp_path.iterdir())


def test_a_backdoor_needs_images() -> None:
    small = population()
    assert small.test is not None
    flat = Population(small.clients, Examples(small.pool.x.flatten(1), small.pool.y), None, factory())
    with pytest.raises(Refused, match="3x3 pixels"):
        simulate(task(), flat, attack="backdoor", attackers=0.5)


def test_a_loss_that_is_not_a_number_ends_the_simulation() -> None:
    small = population()
    small.pool.x[3] = math.inf
    with pytest.raises(Refused, match="client-0") as caught:
        run(small)
    assert caught.value.code is ErrorCode.BAD_UPDATE


def test_clients_names_have_to_sort_in_their_order() -> None:
    small = population(3)
    with pytest.raises(ValueError, match="in order"):
        Population(list(reversed(small.clients)), small.pool, None, mlp)
