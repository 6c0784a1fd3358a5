"""Who is drawn in a simulation: by what clients delivered, as a server would know it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch
from small_world import blobs, factory, ragged_clients, task

from federation.errors import ErrorCode, Refused
from federation.evaluation import evaluate
from federation.rounds import select_cohort
from federation.selection import LOOK_BACK, Facts
from federation.simulation.delivered import Heard, History
from federation.simulation.population import Population
from federation.simulation.run import simulate
from federation.simulation.simulated_round import Start
from federation.spec import CohortSpec, derive_seed
from federation.weights import Tensors, to_bytes

BY_LOSS = {"size": 2, "selection": "power_of_choice", "candidates": 6}
BY_EXAMPLES = {"size": 2, "selection": "examples"}


def ragged(*, held: int = 0) -> Population:
    """Clients with unlike numbers of examples; each holds the first `held` of them out."""
    clients, pool = ragged_clients((4, 40, 6, 30, 8, 25, 10, 20))
    kept = [replace(client, indices=client.indices[held:]) for client in clients]
    return Population(kept, pool, blobs(40, seed=1), factory(), [client.indices[:held] for client in clients])


def digest(weights: Tensors) -> str:
    return hashlib.sha256(to_bytes(weights)).hexdigest()


@pytest.mark.parametrize("cohort", [BY_LOSS, BY_EXAMPLES], ids=["power_of_choice", "examples"])
@pytest.mark.parametrize("held", [0, 2])
def test_a_cohort_is_drawn_by_what_clients_delivered_last(cohort: dict[str, object], held: int) -> None:
    """What a server would know is put together as one does it: the loss of the received model, else of training."""
    small = ragged(held=held)
    names = [client.name for client in small.clients]
    facts: dict[str, Facts] = {}
    uniform = 0
    for each in simulate(task(cohort=cohort, rounds=8), small):
        wanted = select_cohort(CohortSpec(**cohort), names, derive_seed(11, "cohort", each.round), facts=facts)
        blind = select_cohort(CohortSpec(**cohort), names, derive_seed(11, "cohort", each.round))
        assert wanted is not None
        assert each.participants == wanted.members
        uniform += wanted == blind
        for update in each.delivered:
            loss = update.train_loss if update.received is None else update.received.loss
            facts[update.client] = Facts(examples=update.num_examples, loss=loss)
    assert uniform < 8, "the facts changed who was drawn"


def test_fewer_candidates_than_seats_are_as_many_as_seats() -> None:
    few = {"fraction": 1.0, "selection": "power_of_choice", "candidates": 2}
    assert len(next(simulate(task(cohort=few), ragged())).participants) == 8


def test_what_clients_hold_out_scores_the_model_that_they_received() -> None:
    small, before = ragged(held=3), factory()()
    first = next(simulate(task(), small))
    for update, held in zip(first.delivered, small.held, strict=True):
        assert update.received == evaluate(before, small.pool.take(held))
        assert update.metrics["eval_examples"] == 3
    assert not any(u.received for u in next(simulate(task(evaluation={"nodes": False}), small)).delivered)


def test_a_broken_off_draw_by_loss_goes_on_to_the_same_bits_with_its_history() -> None:
    spec = task(cohort=BY_LOSS, rounds=6, aggregation={"rule": "fedadam"})
    whole = list(simulate(spec, ragged()))
    history = History()
    for each in whole[:3]:
        history.note(each.round, each.delivered)
    start = Start(3, whole[2].weights, whole[2].state, history)
    for _ in range(2):
        rest = list(simulate(spec, ragged(), start=start))
        assert [each.participants for each in rest] == [each.participants for each in whole[3:]]
        assert digest(rest[-1].weights) == digest(whole[-1].weights)
    blind = list(simulate(spec, ragged(), start=replace(start, history=History())))
    assert [each.participants for each in blind] != [each.participants for each in whole[3:]]


def test_who_has_not_delivered_for_long_is_unknown_again() -> None:
    history = History({"ann": Heard(1, 10, 0.5), "bob": Heard(2, 20, None)})
    assert history.facts(1 + LOOK_BACK).keys() == {"bob"}
    assert history.facts(3) == {"ann": Facts(examples=10, loss=0.5), "bob": Facts(examples=20)}


def test_a_draw_by_speed_is_refused_for_there_is_none() -> None:
    with pytest.raises(Refused, match="take no time of their own") as caught:
        simulate(task(cohort={"size": 2, "selection": "speed"}), ragged())
    assert caught.value.code == ErrorCode.INVALID_SPEC
    assert "power_of_choice" in caught.value.mend


def test_updates_that_came_too_long_are_not_delivered() -> None:
    bound = {"max_update_norm": 0.4, "weighting": "uniform"}
    for each in simulate(task(aggregation=bound, cohort={"fraction": 1.0, "quorum": 8}), ragged()):
        assert sorted([*each.refused, *(update.client for update in each.delivered)]) == list(each.participants)
        assert all(0 < update.norm <= 0.4 for update in each.delivered)
        assert each.void is bool(each.refused)


def test_clients_hold_something_out_all_or_none() -> None:
    with pytest.raises(ValueError, match="or none does"):
        replace(ragged(), held=[torch.arange(2)])
