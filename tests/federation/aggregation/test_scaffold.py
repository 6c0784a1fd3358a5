"""SCAFFOLD's arithmetic: by hand, against the paper, and what it is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from federation.aggregation.contributions import Claim, Contribution
from federation.aggregation.memory import MemoryUpdates
from federation.aggregation.rules import aggregate, aggregate_updates
from federation.aggregation.scaffold import change, check_change, control_of, next_state
from federation.errors import ErrorCode, Refused
from federation.spec import AggregationSpec
from federation.weights import Tensors, aux_layout, layout_of, pack_update, to_bytes

Gradient = Callable[[float], float]


class Quadratics:
    """Clients with one parameter w and a gradient each, who train K plain steps; the server is the real one."""

    def __init__(
        self, gradients: Sequence[Gradient], *, rule: str, steps: int, rate: float, eta: float = 1.0, **more: Any
    ) -> None:
        self.gradients, self.steps, self.rate = gradients, steps, rate
        own = {"options": {"eta": eta}} if rule == "scaffold" else {"weighting": "uniform"}
        self.spec = AggregationSpec.model_validate({"rule": rule} | own | more)
        self.weights: Tensors = {"w": torch.zeros(1)}
        self.state: dict[str, torch.Tensor] = {}
        self.own = [torch.zeros(1) for _ in gradients]

    @property
    def w(self) -> float:
        return float(self.weights["w"])

    @property
    def c(self) -> float:
        return float(self.state["c/w"])

    def round(self, who: Sequence[int] | None = None) -> None:
        members = list(range(len(self.gradients)) if who is None else who)
        c = control_of(self.state, layout_of(self.weights))
        deltas, changes = [], []
        for client in members:
            y, correction = self.weights["w"].clone(), c["w"] - self.own[client]
            for _ in range(self.steps):
                g = torch.tensor([self.gradients[client](float(y))])
                y -= self.rate * (g + correction if self.spec.rule == "scaffold" else g)
            delta = {"w": y - self.weights["w"]}
            deltas.append(delta["w"])
            changes.append(change(delta, c, steps=self.steps, learning_rate=self.rate, trained={"w"})["w"])
            self.own[client] = self.own[client] + changes[-1]
        names = [f"client-{client}" for client in members]
        made = aggregate_updates(
            self.spec,
            self.weights,
            [Claim(name, name, 10**client, self.steps) for client, name in zip(members, names, strict=True)],
            MemoryUpdates({"w": torch.stack(deltas)}, names),
            state=self.state,
            changes=MemoryUpdates({"w": torch.stack(changes)}, names),
            clients=len(self.gradients),
        )
        self.weights, self.state = made.weights, made.state


def pulls_to_4(y: float) -> float:
    return y - 4


def pulls_to_minus_1(y: float) -> float:
    return 2 * (y + 1)


def test_two_rounds_of_two_clients_by_hand() -> None:
    it = Quadratics([pulls_to_4, pulls_to_minus_1], rule="scaffold", steps=2, rate=0.5)
    it.round()
    # first:  0 -> 2 -> 3,   gradients -4, -2: Δ = 3,   c_1 = -3
    # second: 0 -> -1 -> -1, gradients  2,  0: Δ = -1,  c_2 = 1
    assert (it.w, it.c, [float(own) for own in it.own]) == (1.0, -1.0, [-3.0, 1.0])
    it.round()
    # first,  c - c_1 = 2:  1 -> 1.5 -> 1.75, gradients -3, -2.5: Δ = 0.75, c_1 = -2.75
    # second, c - c_2 = -2: 1 -> 0 -> 0,      gradients  4,  2:   Δ = -1,   c_2 = 3
    assert (it.w, it.c, [float(own) for own in it.own]) == (0.875, 0.125, [-2.75, 3.0])


def test_the_servers_rate_stretches_the_step_and_leaves_the_control_variate() -> None:
    it = Quadratics([pulls_to_4, pulls_to_minus_1], rule="scaffold", steps=2, rate=0.5, eta=2.0)
    it.round()
    assert (it.w, it.c) == (2.0, -1.0)


def test_of_two_quadratics_fedavg_finds_the_wrong_minimum_and_scaffold_the_right_one() -> None:
    gradients = [lambda y: y - 4, lambda y: 10 * (y + 1)]  # minimum of the mean: (4 - 10) / 11
    found = {}
    for rule in ("fedavg", "scaffold"):
        it = Quadratics(gradients, rule=rule, steps=10, rate=0.05)
        for _ in range(200):
            it.round()
        found[rule] = it.w
    assert found["scaffold"] == pytest.approx(-6 / 11, abs=1e-4)
    assert abs(found["fedavg"] + 6 / 11) > 0.5


def test_weights_by_examples_lead_to_the_minimum_of_the_plain_mean_as_well() -> None:
    gradients = [lambda y: y - 4, lambda y: 10 * (y + 1)]
    it = Quadratics(gradients, rule="scaffold", steps=10, rate=0.05, weighting="examples")  # 1 and 10 of them
    first = Quadratics(gradients, rule="scaffold", steps=10, rate=0.05)
    it.round(), first.round()
    assert it.w != pytest.approx(first.w, abs=0.1)
    for _ in range(400):
        it.round()
    assert it.w == pytest.approx(-6 / 11, abs=1e-4)


def test_with_one_of_three_clients_a_round_c_stays_the_mean_of_the_variates_and_the_minimum_is_found() -> None:
    it = Quadratics([lambda y: y - 4, lambda y: 3 * (y + 1), lambda y: 2 * y], rule="scaffold", steps=5, rate=0.02)
    for number in range(900):
        it.round([(number * 2 + number // 3) % 3])
        assert it.c == pytest.approx(sum(float(own) for own in it.own) / 3, abs=1e-5)
    assert it.w == pytest.approx((4 - 3) / 6, abs=0.01)


def test_equal_clients_without_variates_learn_what_they_would_with_fedavg() -> None:
    ways = {}
    for rule in ("fedavg", "scaffold"):
        it, ways[rule] = Quadratics([pulls_to_4] * 4, rule=rule, steps=3, rate=0.1), []
        for _ in range(5):
            it.round()
            ways[rule].append(it.w)
    assert ways["scaffold"] == pytest.approx(ways["fedavg"], abs=1e-6)


def test_a_change_is_minus_c_minus_the_mean_step_and_zero_where_nothing_is_trained() -> None:
    delta = {"w": torch.tensor([1.0, -2.0]), "mean": torch.tensor([5.0])}
    c = {"w": torch.tensor([0.5, 0.5]), "mean": torch.tensor([0.0])}
    made = change(delta, c, steps=4, learning_rate=0.25, trained={"w"})
    assert made["w"].tolist() == [-1.5, 1.5]
    assert made["mean"].tolist() == [0.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_variates_are_float32_whatever_the_model_is(dtype: torch.dtype) -> None:
    delta = {"w": torch.tensor([1.0], dtype=dtype)}
    made = change(delta, {"w": torch.zeros(1)}, steps=2, learning_rate=0.5, trained={"w"})
    assert layout_of(made) == aux_layout(layout_of(delta))
    assert made["w"].tolist() == [-1.0]


class Deltas:
    """Rows by name, summed plainly."""

    def __init__(self, *rows: float) -> None:
        self.rows = rows

    def weighted_sum(self, weights: Sequence[float]) -> dict[str, torch.Tensor]:
        return {"w": torch.tensor([sum(w * row for w, row in zip(weights, self.rows, strict=True))])}


def test_when_clients_join_c_is_first_brought_to_the_new_number_of_them() -> None:
    state = next_state({}, Deltas(2.0, 4.0), 2, clients=2)
    assert (float(state["c/w"]), int(state["clients"])) == (3.0, 2)
    more = next_state(state, Deltas(2.0), 1, clients=4)  # c_i are 2, 4, 2 and 0
    assert (float(more["c/w"]), int(more["clients"])) == (2.0, 4)
    assert float(state["c/w"]) == 3.0, "the state before is left as it was"


def test_a_federation_smaller_than_its_round_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="3 updates of 2 clients"):
        next_state({}, Deltas(1.0, 1.0, 1.0), 3, clients=2)


def test_a_control_variate_that_is_not_finite_is_refused() -> None:
    state = next_state({}, Deltas(3e38), 1, clients=1)
    with pytest.raises(Refused, match="control variate of tensor 'w' is not finite") as caught:
        next_state(state, Deltas(3e38), 1, clients=1)
    assert caught.value.code is ErrorCode.BAD_UPDATE


def test_a_state_of_another_model_is_refused() -> None:
    state = next_state({}, Deltas(1.0), 1, clients=1)
    with pytest.raises(Refused, match="other tensors than the model"):
        control_of(state, layout_of({"w": torch.zeros(2)}))


# What a node may claim


BEFORE = {"c/w": torch.tensor([1.0, -1.0, 0.5]), "c/buffer": torch.zeros(2), "clients": torch.tensor(3)}
DELTA = {"w": torch.tensor([0.25, 0.5, -4.0]), "buffer": torch.tensor([7.0, 8.0])}


def claimed(folder: Path, aux: Tensors) -> None:
    """Checks an update with this second set, of 5 steps at a rate of 0.1."""
    (folder / "update").write_bytes(pack_update(DELTA, aux))
    (folder / "control").write_bytes(to_bytes(BEFORE))
    check_change(folder / "update", layout_of(DELTA), folder / "control", steps=5, learning_rate=0.1, trained={"w"})


def honest() -> dict[str, torch.Tensor]:
    c = control_of(BEFORE, layout_of(DELTA))
    return change(DELTA, c, steps=5, learning_rate=0.1, trained={"w"})


def test_an_honest_change_is_taken(tmp_path: Path) -> None:
    claimed(tmp_path, honest())


def test_a_change_computed_with_other_rounding_is_taken(tmp_path: Path) -> None:
    aux = honest()
    claimed(tmp_path, aux | {"w": aux["w"] * (1 + 1e-6)})


def test_before_the_first_round_c_is_zero(tmp_path: Path) -> None:
    aux = {"w": DELTA["w"] / -0.5, "buffer": torch.zeros(2)}
    (tmp_path / "update").write_bytes(pack_update(DELTA, aux))
    check_change(tmp_path / "update", layout_of(DELTA), None, steps=5, learning_rate=0.1, trained={"w"})


def test_a_tensor_that_is_not_trained_has_no_change_however_it_moved(tmp_path: Path) -> None:
    assert DELTA["buffer"].all()
    claimed(tmp_path, honest() | {"buffer": torch.zeros(2)})


@pytest.mark.parametrize("moved", [torch.tensor([0.0, 1e-20]), DELTA["buffer"] / -0.5], ids=["some", "as if trained"])
def test_a_tensor_that_is_not_trained_may_have_no_other(tmp_path: Path, moved: torch.Tensor) -> None:
    with pytest.raises(Refused, match="'aux/buffer' is not zero, but steps do not train 'buffer'") as caught:
        claimed(tmp_path, honest() | {"buffer": moved})
    assert caught.value.code is ErrorCode.BAD_UPDATE


def test_a_trained_tensor_whose_change_is_left_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="'aux/w' is not the change"):
        claimed(tmp_path, {"w": torch.zeros(3), "buffer": torch.zeros(2)})


def test_a_trained_tensor_that_did_not_move_loses_c_all_the_same(tmp_path: Path) -> None:
    def still(aux: torch.Tensor) -> None:
        delta = {"w": torch.zeros(3), "buffer": torch.zeros(2)}
        (tmp_path / "update").write_bytes(pack_update(delta, {"w": aux, "buffer": torch.zeros(2)}))
        (tmp_path / "control").write_bytes(to_bytes(BEFORE))
        update, control = tmp_path / "update", tmp_path / "control"
        check_change(update, layout_of(delta), control, steps=5, learning_rate=0.1, trained={"w"})

    still(-BEFORE["c/w"])
    with pytest.raises(Refused, match="'aux/w' is not the change"):
        still(torch.zeros(3))


def test_a_change_among_the_smallest_numbers_is_taken_as_it_was_rounded(tmp_path: Path) -> None:
    delta = {"w": torch.full((3,), 3e-38)}
    aux = change(delta, {"w": torch.zeros(3)}, steps=1000, learning_rate=1.0, trained={"w"})
    (tmp_path / "update").write_bytes(pack_update(delta, aux))
    check_change(tmp_path / "update", layout_of(delta), None, steps=1000, learning_rate=1.0, trained={"w"})


@pytest.mark.parametrize(("factor", "plus"), [(-1.0, 0.0), (1.01, 0.0), (1.0001, 0.0), (1.0, 0.1), (1e6, 0.0)])
def test_a_change_that_the_delta_does_not_make_is_refused(tmp_path: Path, factor: float, plus: float) -> None:
    aux = honest()
    aux["w"] = aux["w"] * factor + plus
    with pytest.raises(Refused, match="'aux/w' is not the change") as caught:
        claimed(tmp_path, aux)
    assert caught.value.code is ErrorCode.BAD_UPDATE
    assert "num_steps = 5" in caught.value.mend


def test_a_large_change_in_pieces_is_checked_to_its_end(tmp_path: Path) -> None:
    delta = {"w": torch.randn(600_000, generator=torch.Generator().manual_seed(0))}
    aux = change(delta, {"w": torch.zeros(600_000)}, steps=2, learning_rate=0.5, trained={"w"})
    (tmp_path / "update").write_bytes(pack_update(delta, aux))
    check_change(tmp_path / "update", layout_of(delta), None, steps=2, learning_rate=0.5, trained={"w"})
    aux["w"][-1] += 100
    (tmp_path / "update").write_bytes(pack_update(delta, aux))
    with pytest.raises(Refused, match="'aux/w'"):
        check_change(tmp_path / "update", layout_of(delta), None, steps=2, learning_rate=0.5, trained={"w"})


@pytest.mark.parametrize("honest_steps", [5, 20])
def test_the_same_formally_right_lie_every_round_moves_c_by_all_of_its_bound_and_for_good(
    tmp_path: Path, honest_steps: int
) -> None:
    """What the check does not prevent: scaffold withstands nothing."""
    clients, steps, rate, bound = 10, 5, 0.1, 2.0
    state: dict[str, torch.Tensor] = {}
    model = layout_of({"w": torch.zeros(1)})
    all_of_it = bound / (steps * rate)

    def play(liars: int) -> list[float]:
        """A round; the honest nodes' deltas. Their gradients and their c_k are zero."""
        nonlocal state
        c = control_of(state, model)
        lie, honest = {"w": torch.tensor([bound])}, {"w": -honest_steps * rate * c["w"]}
        sent = [(lie, steps)] * liars + [(honest, honest_steps)] * (clients - 1)
        changes = [change(delta, c, steps=k, learning_rate=rate, trained={"w"}) for delta, k in sent]
        for (delta, k), moved in zip(sent, changes, strict=True):
            (tmp_path / "update").write_bytes(pack_update(delta, moved))
            (tmp_path / "control").write_bytes(to_bytes(state)) if state else None
            control = tmp_path / "control" if state else None
            check_change(tmp_path / "update", model, control, steps=k, learning_rate=rate, trained={"w"})
        state = next_state(state, Deltas(*(float(moved["w"]) for moved in changes)), len(sent), clients)
        return [float(honest["w"])] * (clients - 1)

    play(liars=1)
    assert float(state["c/w"]) == pytest.approx(-all_of_it / clients), "in one round a share of it"
    for _ in range(100):
        play(liars=1)
    assert float(state["c/w"]) == pytest.approx(-all_of_it, rel=1e-3), "in many rounds all"
    for _ in range(20):
        drift = play(liars=0)
    assert float(state["c/w"]) == pytest.approx(-all_of_it, rel=1e-3), "and it stays when the liar is gone"
    assert drift == pytest.approx([bound * honest_steps / steps] * (clients - 1), rel=1e-3)


# Files


def test_files_without_the_second_set_are_refused_as_are_those_of_other_rules_with_one(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(to_bytes({"w": torch.zeros(2)}))
    (tmp_path / "one").write_bytes(pack_update({"w": torch.ones(2)}))
    (tmp_path / "both").write_bytes(pack_update({"w": torch.ones(2)}, {"w": torch.ones(2)}))

    def fold(rule: str, name: str) -> None:
        update = Contribution("node", "up", tmp_path / name, 1, 1)
        aggregate(AggregationSpec(rule=rule), tmp_path / "base", [update], clients=1)  # type: ignore[arg-type]

    with pytest.raises(Refused, match="'aux/w' is missing"):
        fold("scaffold", "one")
    with pytest.raises(Refused, match="'aux/w' is none of the model's") as caught:
        fold("fedavg", "both")
    assert "no aux/<name>" in caught.value.mend
    fold("scaffold", "both")


def test_without_the_changes_or_the_number_of_clients_there_is_no_round(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(to_bytes({"w": torch.zeros(2)}))
    (tmp_path / "both").write_bytes(pack_update({"w": torch.ones(2)}, {"w": torch.ones(2)}))
    update = Contribution("node", "up", tmp_path / "both", 1, 1)
    with pytest.raises(ValueError, match="how many clients"):
        aggregate(AggregationSpec(rule="scaffold"), tmp_path / "base", [update])
