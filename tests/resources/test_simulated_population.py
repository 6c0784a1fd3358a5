"""A simulation's clients hold what nodes would, and its model begins where a server's would."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch

from edge_client.data import load_share
from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, parse_spec
from resources.simulate import population_of
from resources.workload import Workload


def spec(**changes: Any) -> TaskSpec:
    raw: dict[str, Any] = {
        "name": "digits",
        "model": {"id": "mlp", "options": {"hidden": 8}},
        "data": {"id": "digits", "partition": {"kind": "dirichlet", "parts": 12, "alpha": 0.4}, "holdout": 0.2},
        "seed": 6,
    }
    return parse_spec(raw | changes)


def test_client_i_trains_on_what_the_node_with_share_i_trains_on() -> None:
    population = population_of(spec())
    assert [client.name for client in population.clients] == [f"client-{i:02d}" for i in range(12)]
    for index, client in enumerate(population.clients):
        wanted, found = load_share(spec(), index, None).train, client.examples(population.pool)
        assert torch.equal(found.x, wanted.x)
        assert torch.equal(found.y, wanted.y)


def test_the_model_begins_with_the_servers_weights_and_travels_to_other_processes() -> None:
    factory = pickle.loads(pickle.dumps(population_of(spec()).factory))
    wanted = Workload().initial_weights(spec())
    found = factory().state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_the_test_set_is_there_only_if_the_server_is_to_score() -> None:
    test = population_of(spec()).test
    assert test is not None
    assert len(test) == 360
    assert population_of(spec(evaluation={"server": False})).test is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"data": {"id": "own", "input_shape": [4], "num_classes": 2}}, ErrorCode.INVALID_SPEC),
        ({"data": {"id": "letters"}}, ErrorCode.NOT_FOUND),
        ({"model": {"id": "resnet"}}, ErrorCode.NOT_FOUND),
        ({"data": {"id": "digits", "partition": {"parts": 5000}}}, ErrorCode.INVALID_SPEC),
    ],
)
def test_what_the_catalogue_does_not_have_is_refused(changes: dict[str, Any], code: ErrorCode) -> None:
    with pytest.raises(Refused) as caught:
        population_of(spec(**changes))
    assert caught.value.code is code
    assert caught.value.mend
