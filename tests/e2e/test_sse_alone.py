"""A client that can only speak MCP, over the oldest transport, still takes part in full."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from machine import Machine, spec

pytestmark = pytest.mark.anyio

MODEL_BYTES = 4 * 421_642


def _examples(path: Path) -> Path:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 10, 200)
    images = rng.integers(0, 60, (200, 1, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label : 2 * label + 4, :] += 150  # a bar whose height is the class
    np.savez(path, x=images, y=labels)
    return path


@pytest.mark.timeout(180)
async def test_a_whole_round_of_mnist_cnn_goes_over_sse_alone(machine: Machine, tmp_path: Path) -> None:
    machine.start_server()
    task = await machine.call(
        "create_task",
        spec=spec(
            model={"id": "mnist_cnn"},
            data={"id": "own", "input_shape": [1, 28, 28], "num_classes": 10, "holdout": 0.2},
            cohort={"size": 1, "min_nodes": 1},
            rounds=1,
        ),
        request_id="sse-alone-test",
    )
    data = _examples(tmp_path / "bars.npz")
    flags = ("--transport", "sse", "--lane", "inband", "--data", str(data))
    machine.start_node("only-mcp", task["task_id"], await machine.node_token(), *flags)
    done = await machine.wait_for(task["task_id"], lambda task: task["state"] == "finished")
    assert done["rounds"][0]["state"] == "closed"
    moved = machine.bulk_bytes()
    assert ("raw", "up") not in moved
    assert ("raw", "down") not in moved
    assert moved["in-band", "up"] >= MODEL_BYTES
    assert moved["in-band", "down"] >= MODEL_BYTES
