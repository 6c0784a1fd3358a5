"""A Flower client that trains the workload, as light as one gets: each process reads the file and builds its model
once. Run by Flower's Python."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from benchmarks.digits_workload import BATCH, LEARNING_RATE, perceptron, read

WORKLOAD = "BENCHMARK_WORKLOAD"
"""The environment variable that holds the workload's path."""


@cache
def at_hand() -> tuple[Any, torch.Tensor, torch.Tensor, Any]:
    """Model, x, y and shares."""
    torch.set_num_threads(1)
    arrays = read(Path(os.environ[WORKLOAD]))
    return perceptron(arrays), torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]), arrays["shares"]


def train(message: Message, context: Context) -> Message:
    """One local epoch."""
    model, x, y, shares = at_hand()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    share = torch.from_numpy(shares[context.node_config["partition-id"]])
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    for batch in torch.split(share[torch.randperm(len(share))], BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    content = {"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord({"num-examples": len(share)})}
    return Message(content=RecordDict(content), reply_to=message)


app = ClientApp()
app.train()(train)
