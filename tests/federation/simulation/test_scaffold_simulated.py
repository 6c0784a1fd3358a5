"""SCAFFOLD in a simulation: every engine, any budget of memory, and the paper's formulas in float64."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from small_world import Images, blobs, factory, gaps, mlp, population, ragged_clients, task, trained
from torch import Tensor, nn
from torch.nn import functional as F

from federation.errors import ErrorCode, Refused
from federation.simulation.clients import Work, schedule
from federation.simulation.engine import EngineName
from federation.simulation.loop import LoopEngine
from federation.simulation.population import Population, clients_of
from federation.simulation.run import simulate
from federation.simulation.simulated_round import SimulatedRound, Start
from federation.simulation.variates import Variates
from federation.simulation.vectorized import VectorizedEngine
from federation.spec import TaskSpec, TrainingSpec, derive_seed
from federation.training import train
from federation.weights import subtract, to_bytes

SCAFFOLD: dict[str, Any] = {"aggregation": {"rule": "scaffold"}}
LOCAL: dict[str, Any] = {"training": {"learning_rate": 0.1, "batch_size": 8, "epochs": 2, "weight_decay": 0.01}}


def skewed(clients: int = 6) -> Population:
    """Each client has examples of two classes, and another number of them."""
    pool = blobs(240)
    shares = []
    for client in range(clients):
        mine = torch.nonzero((pool.y == client % 4) | (pool.y == (client + 1) % 4)).flatten()
        shares.append(mine[client * 9 : client * 9 + 12 + 5 * client])
    return Population(clients_of(shares), pool, blobs(80, seed=1), factory(mlp))


def of(spec: TaskSpec, people: Population, **how: Any) -> list[SimulatedRound]:
    return list(simulate(spec, people, **how))


def bits(rounds: list[SimulatedRound]) -> list[tuple[bytes, bytes]]:
    return [(to_bytes(each.weights), to_bytes(each.state)) for each in rounds]


class Reference:
    """Algorithm 1 with option II, written down as it stands in the paper, in float64."""

    def __init__(self, spec: TaskSpec, people: Population) -> None:
        self.spec, self.people = spec, people
        self.model = people.factory().double()
        self.x = self._flat()
        self.c = torch.zeros_like(self.x)
        self.own = [torch.zeros_like(self.x) for _ in people.clients]

    def _flat(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1).clone() for p in self.model.parameters()])

    def _gradient(self, y: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        nn.utils.vector_to_parameters(y.clone(), self.model.parameters())
        self.model.zero_grad()
        decay = self.spec.training.weight_decay / 2 * sum((p**2).sum() for p in self.model.parameters())
        torch.autograd.backward(F.cross_entropy(self.model(images), labels) + decay)
        return torch.cat([p.grad.reshape(-1) for p in self.model.parameters() if p.grad is not None])

    def round(self, number: int, members: list[int]) -> None:
        training, pool = self.spec.training, self.people.pool
        deltas, changes = [], []
        for i in members:
            client, y = self.people.clients[i], self.x.clone()
            total = training.epochs * -(-len(client) // training.batch_size)
            seed = derive_seed(self.spec.seed, "train", number, i)
            plan = schedule(len(client), training.batch_size, total, seed)
            for step in plan:
                batch = client.indices[step[step >= 0]]
                g = self._gradient(y, pool.x[batch].double(), pool.y[batch])
                y = y - training.learning_rate * (g - self.own[i] + self.c)
            fresh = self.own[i] - self.c + (self.x - y) / (total * training.learning_rate)
            deltas.append(y - self.x)
            changes.append(fresh - self.own[i])
            self.own[i] = fresh
        self.x = self.x + torch.stack(deltas).mean(dim=0)
        self.c = self.c + torch.stack(changes).sum(dim=0) / len(self.people.clients)


def test_a_simulation_is_the_papers_algorithm() -> None:
    spec, people = task(**SCAFFOLD, **LOCAL, cohort={"size": 3, "quorum": 3}, rounds=6), skewed()
    reference, names = Reference(spec, people), [client.name for client in people.clients]
    drawn = set()
    for made in simulate(spec, people, engine="loop"):
        members = [names.index(name) for name in made.participants]
        drawn.add(tuple(members))
        reference.round(made.round, members)
        x = torch.cat([tensor.reshape(-1) for tensor in made.weights.values()]).double()
        c = torch.cat([made.state[f"c/{name}"].reshape(-1) for name in made.weights]).double()
        assert float((x - reference.x).norm() / reference.x.norm()) < 1e-6
        assert float((c - reference.c).norm() / reference.c.norm()) < 1e-5
        assert int(made.state["clients"]) == 6
        assert float((reference.c - torch.stack(reference.own).mean(dim=0)).norm()) < 1e-12
    assert len(drawn) > 1


@pytest.mark.parametrize("engine", ["vectorized", pytest.param("processes", marks=pytest.mark.e2e)])
def test_every_engine_simulates_the_same(engine: EngineName) -> None:
    spec, people = task(**SCAFFOLD, **LOCAL), population(4)
    loop, other = of(spec, people, engine="loop"), of(spec, people, engine=engine, workers=2)
    if engine == "processes":
        assert bits(loop) == bits(other)
        return
    for one, two in zip(loop, other, strict=True):
        for name in one.weights:
            torch.testing.assert_close(one.weights[name], two.weights[name], rtol=1e-4, atol=1e-6)
        for name in one.state:
            torch.testing.assert_close(one.state[name], two.state[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("build", [mlp, Images])
def test_all_clients_at_once_are_corrected_as_each_would_be_alone(build: Any) -> None:
    clients, pool = ragged_clients()
    spec = TrainingSpec(epochs=2, batch_size=8, learning_rate=0.1)
    weights = {name: tensor.detach().clone() for name, tensor in factory(build)().state_dict().items()}
    size = sum(tensor.numel() for tensor in weights.values())
    rows = 0.05 * torch.randn((len(clients), size), generator=torch.Generator().manual_seed(3))
    work = [Work(client, 1000 + place, partial(rows.__getitem__, place)) for place, client in enumerate(clients)]
    alone = trained(LoopEngine(factory(build), pool, spec), weights, work)
    together = trained(VectorizedEngine(factory(build), pool, spec), weights, work)
    assert max(gaps(together.deltas, alone.deltas)) <= 1e-5
    free = trained(LoopEngine(factory(build), pool, spec), weights, [Work(w.client, w.seed) for w in work])
    assert min(gaps(free.deltas, alone.deltas)) > 1e-3


def test_the_loop_is_a_nodes_corrected_training_to_the_bit() -> None:
    clients, pool = ragged_clients()
    spec = TrainingSpec(epochs=2, batch_size=8, learning_rate=0.1)
    weights = {name: tensor.detach().clone() for name, tensor in factory()().state_dict().items()}
    row = 0.1 * torch.randn(sum(t.numel() for t in weights.values()), generator=torch.Generator().manual_seed(1))
    pieces = torch.split(row, [tensor.numel() for tensor in weights.values()])
    correction = {name: piece.view(weights[name].shape) for name, piece in zip(weights, pieces, strict=True)}
    found = trained(LoopEngine(factory(), pool, spec), weights, [Work(clients[2], 7, lambda: row)])
    model = factory()()
    train(model, clients[2].examples(pool), spec, seed=7, correction=correction)
    delta = subtract(model.state_dict(), weights)
    assert torch.equal(found.deltas[0], torch.cat([tensor.reshape(-1) for tensor in delta.values()]))


def test_variates_and_updates_in_files_make_the_same_bits(tmp_path: Path) -> None:
    spec, people = task(**SCAFFOLD, **LOCAL, cohort={"size": 4, "quorum": 4}), skewed()
    expected = bits(of(spec, people, engine="loop"))
    going = simulate(spec, people, engine="loop", memory_bytes=0, folder=tmp_path)
    found = [next(going), next(going)]
    names = [client.name for client in people.clients]
    held = [path.name for path in tmp_path.glob("potluck-variates-*/*.npy")]
    assert sorted(held) == sorted({f"{names.index(name)}.npy" for each in found for name in each.participants})
    assert bits([*found, *going]) == expected
    assert list(tmp_path.iterdir()) == [], "nothing is left of it"


def test_c_stays_the_mean_of_all_variates_when_only_some_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Variates] = []
    enter = Variates.__enter__
    monkeypatch.setattr(Variates, "__enter__", lambda self: opened.append(self) or enter(self))
    spec, people = task(**SCAFFOLD, **LOCAL, cohort={"size": 2, "quorum": 2}, rounds=8), skewed()
    for made in simulate(spec, people, engine="loop"):
        own = torch.stack([opened[0].of(client.name) for client in people.clients])
        c = torch.cat([made.state[f"c/{name}"].reshape(-1) for name in made.weights])
        torch.testing.assert_close(c, own.mean(dim=0), rtol=1e-4, atol=1e-6)
        assert bool(c.any())


def test_clients_may_be_named_anything_where_variates_are_files(tmp_path: Path) -> None:
    people = population(4)
    names = ["../c", "/etc/x", "a/b", "b"]
    odd = replace(
        people, clients=[replace(client, name=name) for client, name in zip(people.clients, names, strict=True)]
    )
    spec = task(**SCAFFOLD, **LOCAL)
    spec = spec.model_copy(update={"cohort": spec.cohort.model_copy(update={"size": 4, "quorum": 4})})
    in_files = of(spec, odd, engine="loop", memory_bytes=0, folder=tmp_path)
    assert bits(in_files) == bits(of(spec, odd, engine="loop"))
    assert list(tmp_path.iterdir()) == []


def test_clients_with_the_same_examples_learn_as_with_fedavg() -> None:
    pool = blobs(16)
    people = Population(clients_of([torch.arange(16)] * 3), pool, blobs(40, seed=1), factory(mlp))
    whole = {"training": {"learning_rate": 0.1, "batch_size": 16, "epochs": 4}}  # so that the shuffle has no say
    plain = of(task(aggregation={"rule": "fedavg"}, **whole), people, engine="loop")
    controlled = of(task(**SCAFFOLD, **whole), people, engine="loop")
    for one, two in zip(plain, controlled, strict=True):
        for name in one.weights:
            torch.testing.assert_close(one.weights[name], two.weights[name], rtol=1e-4, atol=1e-6)


def test_the_first_round_is_fedavgs_and_later_ones_are_not() -> None:
    people = skewed()
    plain = of(task(aggregation={"rule": "fedavg", "weighting": "uniform"}, **LOCAL), people, engine="loop")
    controlled = of(task(**SCAFFOLD, **LOCAL), people, engine="loop")
    assert to_bytes(plain[0].weights) == to_bytes(controlled[0].weights)
    assert to_bytes(plain[1].weights) != to_bytes(controlled[1].weights)


def test_twice_the_bytes_go_up_and_from_the_second_round_on_down() -> None:
    people = population(4)
    plain = of(task(), people)
    first, second, _ = of(task(**SCAFFOLD), people)
    assert first.bytes_up == pytest.approx(2 * plain[0].bytes_up, rel=0.05)
    assert first.bytes_down == plain[0].bytes_down
    assert second.bytes_down == pytest.approx(2 * plain[1].bytes_down, rel=0.05)


def test_a_round_that_is_void_moves_no_variate() -> None:
    bound = {"aggregation": {"rule": "scaffold", "max_update_norm": 1e-6}}
    for made in of(task(**bound, cohort={"fraction": 1.0, "quorum": 2}), population(4)):
        assert made.void
        assert made.state == {}


def test_going_on_from_a_round_makes_the_variates_again_and_comes_to_the_same_bits() -> None:
    half = {"cohort": {"fraction": 0.5}, "rounds": 4}
    whole = of(task(**SCAFFOLD, **half), population(4))
    trained: list[int] = []
    went_on = list(
        simulate(
            task(**SCAFFOLD, **half),
            population(4),
            start=Start(2, whole[1].weights, whole[1].state),
            on_progress=lambda at: trained.append(at.round),
        )
    )
    assert [each.round for each in went_on] == [3, 4]
    assert sorted(set(trained)) == [1, 2, 3, 4]
    for one, other in zip(whole[2:], went_on, strict=True):
        assert to_bytes(one.weights) == to_bytes(other.weights)
        assert to_bytes(one.state) == to_bytes(other.state)


def test_a_model_that_the_rounds_before_do_not_make_is_not_gone_on_from() -> None:
    first, second, _ = of(task(**SCAFFOLD), population(4))
    rounds = simulate(task(**SCAFFOLD), population(4), start=Start(2, first.weights, second.state))
    with pytest.raises(Refused, match="made another model") as caught:
        next(rounds)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_what_is_not_trained_has_no_variate() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(64, 8)
            self.inner.bias.requires_grad = False
            self.register_buffer("shift", torch.full((8,), 0.5))
            self.outer = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.shift.add_(0.25)  # as running statistics do
            logits: Tensor = self.outer((self.inner(x.flatten(1)) + self.shift).relu())
            return logits

    made = of(task(**SCAFFOLD), population(4, build=Frozen), engine="loop")[-1]
    assert not made.state["c/shift"].any()
    assert not made.state["c/inner.bias"].any()
    assert bool(made.state["c/inner.weight"].any())
    assert bool((made.weights["shift"] != 0.5).all()), "it is averaged like any other tensor"
