from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn

from federation.errors import ErrorCode, Refused
from resources.models import catalogue
from resources.models.card import Unbuildable
from resources.models.initialisation import initialise

IDS = [card.id for card in catalogue.models()]


@pytest.mark.parametrize(
    ("id", "shape", "parameters"),
    [
        ("logistic", (1, 28, 28), 7_850),
        ("mlp", (1, 8, 8), 4_810),
        ("mnist_cnn", (1, 28, 28), 421_642),
        ("cifar10_cnn", (3, 32, 32), 550_570),
        ("mcmahan_2nn", (1, 28, 28), 199_210),  # the numbers of the FedAvg paper, section 3
        ("mcmahan_cnn", (1, 28, 28), 1_663_370),
    ],
)
def test_models_have_the_parameters_that_their_cards_state(id: str, shape: Any, parameters: int) -> None:
    model = catalogue.create_model(id, input_shape=shape, num_classes=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert catalogue.parameter_count(id, input_shape=shape, num_classes=10) == parameters
    description = catalogue.card(id).description
    assert "parameters" not in description or f"{parameters:,}" in description


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 30)])
def test_every_model_takes_odd_images_and_other_numbers_of_classes(id: str, shape: Any) -> None:
    model = catalogue.create_model(id, input_shape=shape, num_classes=7)
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("id", IDS)
def test_weights_depend_on_the_seed_alone(id: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = catalogue.create_model(id, input_shape=(1, 8, 8), num_classes=10, seed=5).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again = catalogue.create_model(id, input_shape=(1, 8, 8), num_classes=10, seed=5).state_dict()
    other = catalogue.create_model(id, input_shape=(1, 8, 8), num_classes=10, seed=6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_threads_that_build_at_once_do_not_mix_up_their_weights() -> None:
    def build(seed: int) -> torch.Tensor:
        model = catalogue.create_model("mcmahan_2nn", input_shape=(64,), num_classes=10, seed=seed)
        return next(model.parameters()).detach()

    alone = [build(seed) for seed in range(8)]
    together: dict[int, torch.Tensor] = {}
    threads = [threading.Thread(target=lambda s=seed: together.update({s: build(s)})) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[seed], together[seed]) for seed in range(8))


@pytest.mark.parametrize("layer", [nn.Linear(300, 200), nn.Conv2d(20, 30, 5)])
def test_initial_weights_are_distributed_as_pytorch_draws_them(layer: nn.Linear | nn.Conv2d) -> None:
    torch.manual_seed(0)
    layer.reset_parameters()
    theirs = layer.weight.detach().clone()
    initialise(layer, seed=0)
    assert layer.weight.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.01)
    assert layer.weight.std().item() == pytest.approx(theirs.std().item(), rel=0.02)
    assert layer.bias is not None
    assert 0.8 * theirs.abs().max() < layer.bias.abs().max() <= theirs.abs().max() * 1.01


def test_the_signal_reaches_the_end_of_a_deep_model() -> None:
    # With PyTorch's own gain the logits vary by 0.0001 from one image to the next, and training never begins.
    model = catalogue.create_model("cifar10_cnn", input_shape=(3, 32, 32), num_classes=10)
    images = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert model(images).std(dim=0).mean() > 0.05


def test_a_layer_without_a_known_initialisation_is_an_error_and_not_left_as_it_was() -> None:
    with pytest.raises(TypeError, match="BatchNorm2d"):
        initialise(nn.BatchNorm2d(3), seed=0)


def test_options_change_the_model() -> None:
    small = catalogue.parameter_count("mlp", input_shape=(64,), num_classes=10, options={"hidden": 8})
    assert small == 64 * 8 + 8 + 8 * 10 + 10


@pytest.mark.parametrize(
    ("id", "shape", "classes", "options", "field"),
    [
        ("mlp", (64,), 10, {"hiden": 8}, "model.options.hiden"),
        ("mlp", (64,), 10, {"hidden": 0}, "model.options.hidden"),
        ("mlp", (64,), 10, {"hidden": 10**9}, "model.options.hidden"),
        ("mlp", (64,), 10, {"hidden": 8.0}, "model.options.hidden"),
        ("mlp", (64,), 10, {"hidden": True}, "model.options.hidden"),
        ("mlp", (64,), 1, {}, "data.num_classes"),
        ("mlp", (0,), 10, {}, "data.input_shape"),
        ("mlp", (), 10, {}, "data.input_shape"),
        ("mnist_cnn", (64,), 10, {}, "model.id"),
        ("cifar10_cnn", (3, 7, 32), 10, {}, "model.id"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field(
    id: str, shape: Any, classes: int, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(Unbuildable) as caught:
        catalogue.create_model(id, input_shape=shape, num_classes=classes, options=options)
    assert caught.value.code is ErrorCode.INVALID_SPEC
    assert caught.value.field == field
    assert caught.value.problem.startswith(f"{field}: ")


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Refused, match=r"mlp, mnist_cnn") as caught:
        catalogue.card("resnet")
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_cost_counts_a_convolution_at_every_place() -> None:
    cost = catalogue.cost("mnist_cnn", input_shape=(1, 28, 28), num_classes=10)
    convolutions = 28 * 28 * 32 * 9 + 14 * 14 * 64 * 9 * 32
    linear = 7 * 7 * 64 * 128 + 128 * 10
    assert cost.forward_flops == 2 * (convolutions + linear)
    assert cost.activations == 28 * 28 * 32 + 14 * 14 * 64 + 128 + 10 + 28 * 28


def test_cost_of_a_model_too_large_for_memory_is_known_without_building_it() -> None:
    cost = catalogue.cost("mlp", input_shape=(4096, 4096, 16), num_classes=10, options={"hidden": 8192})
    assert cost.parameters > 2 * 10**12


@pytest.mark.parametrize("id", IDS)
def test_a_model_of_given_weights_answers_alike_and_holds_no_copy_of_them(id: str) -> None:
    trained = catalogue.create_model(id, input_shape=(3, 8, 8), num_classes=4, seed=3)
    weights = {name: tensor.detach() for name, tensor in trained.state_dict().items()}
    model = catalogue.model_of(id, weights, input_shape=(3, 8, 8), num_classes=4)
    assert {name: tensor.data_ptr() for name, tensor in model.state_dict().items()} == {
        name: tensor.data_ptr() for name, tensor in weights.items()
    }
    x = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.eval()(x), trained.eval()(x))


def test_weights_of_another_shape_make_no_model() -> None:
    weights = catalogue.create_model("mlp", input_shape=(1, 8, 8), num_classes=10).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        catalogue.model_of("mlp", weights, input_shape=(1, 9, 9), num_classes=10)
