"""A small convolutional network for digits and the like."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from resources.models.card import Family, ModelCard, Option, Options, Shape


class MnistCNN(nn.Module):
    """Two 3x3 convolutions (32 and 64 channels), each with ReLU and 2x2 max pooling, then one hidden layer."""

    def __init__(self, shape: Shape, hidden: int, classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.hidden = nn.Linear(64 * (height // 4) * (width // 4), hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        logits: Tensor = self.output(F.relu(self.hidden(x.flatten(1))))
        return logits


def _build(shape: Shape, classes: int, options: Options) -> nn.Module:
    return MnistCNN(shape, options["hidden"], classes)


MNIST_CNN = Family(
    ModelCard(
        id="mnist_cnn",
        title="MNIST CNN",
        description="Two convolutions and a hidden layer of 128, without dropout: 421,642 parameters on MNIST.",
        licence="MIT",
        input_rank=3,
        min_side=4,
        options={"hidden": Option(128, 1, 4096, "Width of the hidden layer.")},
    ),
    _build,
)
