"""Our optimisers are PyTorch's, to the bit, and leave its compiler alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from federation.optimizers import Adam, Sgd

PAIRS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "sgd": (Sgd, torch.optim.SGD, {"lr": 0.1}),
    "momentum": (Sgd, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "adam": (Adam, torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.01}),
}


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2))


def step(trained: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(number))
    optimizer.zero_grad()
    torch.autograd.backward(trained(x).square().sum())
    optimizer.step()


def weights(trained: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in trained.state_dict().values()]


@pytest.mark.parametrize(("ours", "torchs", "options"), PAIRS.values(), ids=PAIRS.keys())
def test_every_step_is_the_one_of_pytorch_and_the_state_can_be_handed_over(
    ours: Any, torchs: Any, options: dict[str, Any]
) -> None:
    first, second = model(), model()
    one, other = ours(first.parameters(), **options), torchs(second.parameters(), **options)
    for number in range(4):
        before = weights(first)
        step(first, one, number)
        step(second, other, number)
        assert weights(first) == weights(second) != before
        one_state, other_state = one.state_dict(), other.state_dict()
        assert one_state["param_groups"] == other_state["param_groups"]
        assert str(one_state["state"]) == str(other_state["state"])
        one, other = ours(first.parameters(), **options), torchs(second.parameters(), **options)
        one.load_state_dict(other_state)
        other.load_state_dict(one_state)


@pytest.mark.e2e
def test_a_process_that_trains_does_not_load_the_compiler() -> None:
    code = """
import sys, torch
from federation.spec import TrainingSpec
from federation.examples import Examples
from federation.training import train
examples = Examples(torch.ones(4, 3), torch.zeros(4, dtype=torch.long))
for optimizer in ("sgd", "adam"):
    train(torch.nn.Linear(3, 3), examples, TrainingSpec(optimizer=optimizer, learning_rate=0.1), seed=1)
print("torch._dynamo" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "False"), ran.stderr
