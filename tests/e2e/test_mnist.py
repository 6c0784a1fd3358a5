"""The anchor that everybody knows."""

from __future__ import annotations

import os

import pytest
from machine import Machine, spec

pytestmark = pytest.mark.anyio


@pytest.mark.skipif("POTLUCK_DATA" not in os.environ, reason="real MNIST is read from the folder POTLUCK_DATA")
@pytest.mark.timeout(600)
async def test_five_nodes_reach_97_percent_on_mnist_within_five_rounds(machine: Machine) -> None:
    machine.start_server()
    task = await machine.call(
        "create_task",
        spec=spec(
            model={"id": "mnist_cnn"},
            data={"id": "mnist", "partition": {"kind": "iid", "parts": 5}},
            training={"epochs": 1, "batch_size": 32, "learning_rate": 0.05, "momentum": 0.9},
            cohort={"size": 5, "min_nodes": 5, "quorum": 5},
            rounds=5,
            stopping={"target_accuracy": 0.97},  # reached, it ends there
        ),
        request_id="mnist-test",
    )
    token = await machine.node_token()
    for index in range(5):
        machine.start_node(f"node-{index}", task["task_id"], token, "--index", str(index))
    done = await machine.wait_for(task["task_id"], lambda task: task["state"] == "finished", timeout=580)
    for each in done["rounds"]:
        print(f"round {each['round']}: accuracy {each['accuracy']:.4f}, {each['seconds']:.1f} s")
    assert max(each["accuracy"] for each in done["rounds"]) >= 0.97
