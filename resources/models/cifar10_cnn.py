"""A deeper convolutional network for small colour images."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from resources.models.card import Family, ModelCard, Option, Options, Shape
from resources.models.initialisation import HE

_WIDTHS = (32, 64, 128)


class Cifar10CNN(nn.Module):
    """Three blocks of two 3x3 convolutions (32, 64, 128 channels) and 2x2 max pooling, then one hidden layer.

    There is no batch normalisation: its running statistics differ between nodes whose labels do, and their mean
    describes none of them (Hsieh et al. 2020, arXiv:1910.00189).
    """

    def __init__(self, shape: Shape, hidden: int, classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        blocks: list[nn.Module] = []
        for out in _WIDTHS:
            blocks += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
            blocks += [nn.Conv2d(out, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels = out
        self.features = nn.Sequential(*blocks)
        self.hidden = nn.Linear(channels * (height // 8) * (width // 8), hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(F.relu(self.hidden(self.features(x).flatten(1))))
        return logits


def _build(shape: Shape, classes: int, options: Options) -> nn.Module:
    return Cifar10CNN(shape, options["hidden"], classes)


CIFAR10_CNN = Family(
    ModelCard(
        id="cifar10_cnn",
        title="CIFAR-10 CNN",
        description="Six convolutions and a hidden layer of 128, without batch normalisation: "
        "550,570 parameters on CIFAR-10.",
        licence="MIT",
        input_rank=3,
        min_side=8,
        options={"hidden": Option(128, 1, 4096, "Width of the hidden layer.")},
    ),
    _build,
    gain=HE,
)
