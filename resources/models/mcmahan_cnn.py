"""The convolutional network of the FedAvg paper."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from resources.models.card import Family, ModelCard, Options, Shape


class McMahanCNN(nn.Module):
    """Two 5x5 convolutions (32 and 64 channels), each with ReLU and 2x2 max pooling, then 512 units with ReLU."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.conv1 = nn.Conv2d(channels, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.hidden = nn.Linear(64 * (height // 4) * (width // 4), 512)
        self.output = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        logits: Tensor = self.output(F.relu(self.hidden(x.flatten(1))))
        return logits


def _build(shape: Shape, classes: int, options: Options) -> nn.Module:
    return McMahanCNN(shape, classes)


MCMAHAN_CNN = Family(
    ModelCard(
        id="mcmahan_cnn",
        title="CNN of the FedAvg paper",
        description="Two 5x5 convolutions and 512 units: 1,663,370 parameters on MNIST.",
        licence="MIT",
        input_rank=3,
        min_side=4,
        paper="McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data, "
        "arXiv:1602.05629, section 3",
    ),
    _build,
)
