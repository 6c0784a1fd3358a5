"""Models of linear layers: any input shape, flattened."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from resources.models.card import Family, ModelCard, Option, Options, Shape


class Logistic(nn.Module):
    """Multinomial logistic regression: one linear layer."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(x.flatten(1))
        return logits


class Perceptron(nn.Module):
    """One hidden layer and ReLU."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(F.relu(self.hidden(x.flatten(1))))
        return logits


class TwoHiddenLayers(nn.Module):
    """Two hidden layers of equal width, each with ReLU."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(inputs, hidden)
        self.hidden2 = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(F.relu(self.hidden2(F.relu(self.hidden1(x.flatten(1))))))
        return logits


def _logistic(shape: Shape, classes: int, options: Options) -> nn.Module:
    return Logistic(math.prod(shape), classes)


def _mlp(shape: Shape, classes: int, options: Options) -> nn.Module:
    return Perceptron(math.prod(shape), options["hidden"], classes)


def _mcmahan_2nn(shape: Shape, classes: int, options: Options) -> nn.Module:
    return TwoHiddenLayers(math.prod(shape), options["hidden"], classes)


LOGISTIC = Family(
    ModelCard(
        id="logistic",
        title="Logistic regression",
        description="One linear layer over the flattened input. Convex: the baseline to compare methods on.",
        licence="MIT",
    ),
    _logistic,
)

MLP = Family(
    ModelCard(
        id="mlp",
        title="Multilayer perceptron",
        description="One hidden layer with ReLU over the flattened input. Trains in seconds; also runs in browsers.",
        licence="MIT",
        options={"hidden": Option(64, 1, 8192, "Width of the hidden layer.")},
    ),
    _mlp,
)

MCMAHAN_2NN = Family(
    ModelCard(
        id="mcmahan_2nn",
        title="2NN of the FedAvg paper",
        description="Two hidden layers of 200 with ReLU: 199,210 parameters on MNIST.",
        licence="MIT",
        options={"hidden": Option(200, 1, 8192, "Width of both hidden layers.")},
        paper="McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data, "
        "arXiv:1602.05629, section 3",
    ),
    _mcmahan_2nn,
)
