"""What the cost of a model is counted from: the shapes that its layers put out."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from resources.models import catalogue
from resources.models.shapes import Shapes, pass_through

CONVOLUTIONS = [
    nn.Conv2d(4, 6, 3),
    nn.Conv2d(4, 6, (5, 2), padding=(2, 1), stride=(2, 3)),
    nn.Conv2d(4, 6, 3, dilation=2, groups=2, bias=False),
]
POOLS = [nn.MaxPool2d(2), nn.MaxPool2d((3, 2), stride=1, padding=1), nn.MaxPool2d(2, stride=3, dilation=2)]


@pytest.mark.parametrize("layer", [*CONVOLUTIONS, *POOLS, nn.ReLU(), nn.Linear(11, 5), nn.Flatten()], ids=str)
def test_a_layer_puts_out_the_shape_that_it_does_with_data(layer: nn.Module) -> None:
    expected = layer(torch.zeros(2, 4, 13, 11)).shape
    with Shapes(), torch.no_grad():
        found = layer.to("meta")(torch.empty(2, 4, 13, 11, device="meta"))
    assert (found.device.type, found.shape) == ("meta", expected)


def test_what_is_not_known_is_left_to_pytorch() -> None:
    with Shapes():
        x = torch.arange(-2.0, 2.0)
        assert torch.equal(nn.functional.relu(x), x.clamp(min=0)), "of data"
        assert nn.functional.gelu(x.to("meta")).shape == (4,)
        rounded_up = nn.functional.max_pool2d(torch.empty(1, 1, 5, 5, device="meta"), 2, ceil_mode=True)
        assert rounded_up.shape == (1, 1, 3, 3)


@pytest.mark.parametrize("id", [card.id for card in catalogue.models()])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 30)])
def test_every_model_of_the_catalogue_is_counted_as_it_is_with_data(id: str, shape: tuple[int, int, int]) -> None:
    model, seen = catalogue.create_model(id, input_shape=shape, num_classes=7), []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        seen.append(output.shape)

    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(keep)
    model(torch.zeros(1, *shape))
    pass_through(model.to("meta"), (1, *shape))
    half = len(seen) // 2
    assert seen[:half] == seen[half:] != []


@pytest.mark.e2e
def test_neither_what_a_model_costs_nor_its_first_weights_load_the_compiler() -> None:
    code = """
import sys
from resources.models import catalogue
for card in catalogue.models():
    catalogue.cost(card.id, input_shape=(1, 28, 28), num_classes=10)
    catalogue.create_model(card.id, input_shape=(1, 28, 28), num_classes=10)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
