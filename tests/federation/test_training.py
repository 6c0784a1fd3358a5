from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from federation.errors import ErrorCode, Refused
from federation.examples import Examples, split_holdout
from federation.spec import TrainingSpec
from federation.training import Progress, Stopped, Training, run, total_steps, train


def two_blobs(n: int = 50) -> Examples:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    return Examples(torch.randn(n, 3, generator=generator) + 4 * y[:, None] - 2, y)


def linear() -> nn.Linear:
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return model


def trained(seed: int = 0, **options: Any) -> list[torch.Tensor]:
    model = linear()
    train(model, two_blobs(), TrainingSpec(**options), seed=seed)
    return [parameter.detach() for parameter in model.parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_one_full_batch_step_of_sgd_is_the_gradient_times_the_rate() -> None:
    examples = two_blobs()
    model = linear()
    train(model, examples, TrainingSpec(batch_size=50, learning_rate=0.1), seed=0)
    # At zero weights the softmax is 1/2: the gradient of class c is mean((1/2 - [y = c]) x).
    residual = 0.5 - F.one_hot(examples.y, 2).float()
    expected = -0.1 * residual.T @ examples.x / len(examples)
    assert torch.allclose(model.weight, expected, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_separates_what_can_be_separated(optimizer: str) -> None:
    result = train(
        linear(), two_blobs(), TrainingSpec(optimizer=optimizer, epochs=20, batch_size=10, learning_rate=0.1), seed=0
    )
    assert result.accuracy == 1.0
    assert result.loss < 0.05


def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator() -> None:
    torch.manual_seed(1)
    first = trained(seed=3, epochs=3, batch_size=8, momentum=0.9)
    torch.manual_seed(2)
    assert same(first, trained(seed=3, epochs=3, batch_size=8, momentum=0.9))
    assert not same(first, trained(seed=4, epochs=3, batch_size=8, momentum=0.9))


def test_training_does_not_move_the_global_generator() -> None:
    model, before = linear(), torch.get_rng_state()
    train(model, two_blobs(), TrainingSpec(epochs=2), seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_momentum_starts_anew_each_round() -> None:
    spec = TrainingSpec(batch_size=50, learning_rate=0.1, momentum=0.9)
    model, plain = linear(), linear()
    for _ in range(3):  # one step a round: momentum has nothing to act on
        train(model, two_blobs(), spec, seed=0)
        train(plain, two_blobs(), spec.model_copy(update={"momentum": 0.0}), seed=0)
    assert torch.equal(model.weight, plain.weight)


def test_every_epoch_sees_every_example_once_in_another_order() -> None:
    seen: list[int] = []

    class Spy(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            seen.extend(input[:, 0].int().tolist())
            return super().forward(input)

    examples = Examples(torch.arange(10.0).repeat(3, 1).T.contiguous(), torch.zeros(10, dtype=torch.int64))
    result = train(Spy(3, 2), examples, TrainingSpec(epochs=2, batch_size=4, learning_rate=1e-6), seed=0)
    assert (result.num_examples, result.num_steps) == (10, 6)
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


@pytest.mark.parametrize("n", [1, 19, 20, 21, 50])
@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("most", [None, 1, 2, 3, 4, 100])
def test_the_examples_reported_make_the_steps_reported(n: int, epochs: int, most: int | None) -> None:
    spec = TrainingSpec(epochs=epochs, batch_size=20, max_steps=most)
    trained = train(linear(), two_blobs(n), spec, seed=0)
    assert trained.num_steps == total_steps(trained.num_examples, spec)


def test_max_steps_ends_training_early() -> None:
    reports: list[Progress] = []
    spec = TrainingSpec(epochs=10, batch_size=20, max_steps=4)
    result = train(linear(), two_blobs(), spec, seed=0, on_progress=reports.append)
    assert result.num_steps == 4
    assert [(report.step, report.epoch, report.total_steps) for report in reports] == [
        (1, 1, 4), (2, 1, 4), (3, 1, 4), (4, 2, 4),
    ]  # fmt: skip


def test_the_last_report_is_the_result() -> None:
    reports: list[Progress] = []
    result = train(linear(), two_blobs(), TrainingSpec(epochs=2), seed=0, on_progress=reports.append)
    assert (reports[-1].loss, reports[-1].accuracy) == (result.loss, result.accuracy)
    assert reports[0].loss == pytest.approx(math.log(2))
    assert all(report.examples_per_s > 0 for report in reports)


def test_a_stop_is_obeyed_before_the_next_step() -> None:
    reports: list[Progress] = []
    with pytest.raises(Stopped):
        train(
            linear(),
            two_blobs(),
            TrainingSpec(epochs=100),
            seed=0,
            on_progress=reports.append,
            should_stop=lambda: len(reports) == 3,
        )
    assert len(reports) == 3


def test_a_loss_that_is_not_finite_is_refused() -> None:
    examples = Examples(torch.full((4, 3), math.nan), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(Refused, match=r"nan at step 1 of 1\..*lower the learning rate") as caught:
        train(linear(), examples, TrainingSpec(), seed=0)
    assert caught.value.code is ErrorCode.BAD_UPDATE


def test_weights_that_overflow_in_the_last_step_are_refused() -> None:
    examples = Examples(torch.full((4, 3), 3e38), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(Refused, match="the last step"):
        train(linear(), examples, TrainingSpec(learning_rate=100), seed=0)


def test_training_on_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="no examples"):
        train(linear(), two_blobs(0), TrainingSpec(), seed=0)


def test_frozen_parameters_stay_as_they_are() -> None:
    model = linear()
    model.bias.requires_grad_(False)
    train(model, two_blobs(), TrainingSpec(weight_decay=0.1), seed=0)
    assert torch.equal(model.bias, torch.zeros(2))
    assert not torch.equal(model.weight, torch.zeros(2, 3))


@pytest.mark.parametrize(("share", "held"), [(0.0, 0), (0.1, 5), (0.33, 16), (0.5, 25)])
def test_a_holdout_is_disjoint_from_what_is_trained_on(share: float, held: int) -> None:
    examples = Examples(torch.arange(50.0)[:, None], torch.zeros(50, dtype=torch.int64))
    rest, kept = split_holdout(examples, share, seed=0)
    assert len(kept) == held
    assert sorted(rest.x.flatten().tolist() + kept.x.flatten().tolist()) == list(range(50))
    again, _ = split_holdout(examples, share, seed=0)
    assert torch.equal(rest.x, again.x)


def test_examples_and_labels_must_pair_up() -> None:
    with pytest.raises(ValueError, match="2 examples with 3 labels"):
        Examples(torch.zeros(2, 1), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_proximal_term_pulls_every_step_towards_the_rounds_start(momentum: float) -> None:
    # With batches of everything, step by step: v <- ρ v + grad + μ (w - w_t), w <- w - η v.
    examples, eta, mu = two_blobs(), 0.1, 4.0
    spec = TrainingSpec(batch_size=50, learning_rate=eta, momentum=momentum, epochs=3)
    model = linear()
    with torch.no_grad():
        model.weight.fill_(0.25)
    train(model, examples, spec, seed=0, proximal=mu)
    start = torch.full((2, 3), 0.25, dtype=torch.float64)
    w, b = start.clone(), torch.zeros(2, dtype=torch.float64)
    v, u = torch.zeros_like(w), torch.zeros_like(b)
    x, y = examples.x.double(), F.one_hot(examples.y, 2).double()
    for _ in range(3):
        residual = ((x @ w.T + b).softmax(dim=1) - y) / len(examples)
        v = momentum * v + residual.T @ x + mu * (w - start)
        u = momentum * u + residual.sum(dim=0) + mu * b
        w, b = w - eta * v, b - eta * u
    assert torch.allclose(model.weight.double(), w, atol=1e-6)
    assert torch.allclose(model.bias.double(), b, atol=1e-6)


def test_the_stronger_the_proximal_term_the_nearer_the_model_stays() -> None:
    moved = []
    for mu in (0.0, 1.0, 5.0):
        model = linear()
        train(model, two_blobs(), TrainingSpec(epochs=10, learning_rate=0.1), seed=0, proximal=mu)
        moved.append(float(model.weight.detach().norm()))
    assert moved[0] > 1.5 * moved[1] > 2.25 * moved[2] > 0


def test_without_a_proximal_term_nothing_changes_to_the_bit() -> None:
    model = linear()
    train(model, two_blobs(), TrainingSpec(epochs=2, batch_size=7), seed=1, proximal=0.0)
    assert same(trained(seed=1, epochs=2, batch_size=7), [parameter.detach() for parameter in model.parameters()])


def test_an_interrupted_training_is_pulled_towards_the_same_start() -> None:
    spec, whole, halved = TrainingSpec(epochs=2, batch_size=10), linear(), linear()
    train(whole, two_blobs(), spec, seed=3, proximal=2.0)
    first = Training(halved, two_blobs(), spec, seed=3, proximal=2.0)
    for _ in range(7):
        first.step()
    kept = first.checkpoint()
    resumed = linear()
    second = Training(resumed, two_blobs(), spec, seed=3, proximal=2.0)
    second.restore(kept)
    run(second)
    assert same([p.detach() for p in whole.parameters()], [p.detach() for p in resumed.parameters()])


def test_a_correction_is_added_to_every_gradient() -> None:
    model = nn.Linear(2, 2)
    start = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    correction = {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "bias": torch.tensor([-1.0, 0.5])}
    examples = Examples(torch.zeros((4, 2)), torch.tensor([0, 1, 0, 1]))
    with torch.no_grad():
        model.bias.zero_()  # no inputs, no bias, as many of each class: no gradient but the correction's
    spec = TrainingSpec(epochs=1, batch_size=4, learning_rate=0.5)
    train(model, examples, spec, seed=0, correction=correction)
    torch.testing.assert_close(model.weight.detach(), start["weight"] - 0.5 * correction["weight"])
    torch.testing.assert_close(model.bias.detach(), -0.5 * correction["bias"])
