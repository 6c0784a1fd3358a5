"""Node processes train on a data set of the Hub's layout, a simulation comes to the same cut, and a language model
learns from texts of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from machine import Machine

from tests.resources.hub.parquet_files import laid_out, parquet, png

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(200)]
FIXTURES = Path(__file__).parents[1] / "fixtures"
WORDS = ("dark", "grey", "light")


def things(count: int, seed: int) -> bytes:
    """Images of 8x8 whose brightness is what their label says; each of one of four users."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    cells = [png(int(80 * label + rng.integers(0, 60)), (8, 8)) for label in labels]
    users = [f"user {place % 4}" for place in range(count)]
    return parquet({"picture": cells, "shade": [WORDS[label] for label in labels], "owner": users})


@pytest.fixture(autouse=True)
def small_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder with images and texts, for every process."""
    files = {f"images/{split}.parquet": things(count, seed) for seed, (split, count) in enumerate(SPLITS.items())}
    lines = [f"To be, or not to be, that is question {number}: whether it is nobler." for number in range(60)]
    files |= {f"texts/{split}.parquet": parquet({"text": lines[start::2]}) for start, split in enumerate(SPLITS)}
    monkeypatch.setenv("POTLUCK_DATA", str(laid_out(tmp_path / "data", files)))
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "decoded"))
    monkeypatch.setenv("POTLUCK_MODELS", str(FIXTURES))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


SPLITS = {"train": 240, "test": 60}
IMAGES = {
    "name": "shades",
    "model": {"id": "logistic"},
    "data": {
        "id": "hf:acme/things",
        "config": "images",
        "columns": {"x": "picture", "y": "shade", "user": "owner"},
        "partition": {"kind": "natural", "parts": 2},
    },
    "training": {"epochs": 5, "learning_rate": 0.5},
    "cohort": {"size": 2, "min_nodes": 2, "quorum": 2},
    "rounds": 3,
}


async def test_two_nodes_and_a_simulation_learn_from_images_of_the_hub(machine: Machine) -> None:
    machine.start_server()
    task_id = (await machine.call("create_task", spec=IMAGES, request_id="shades-test"))["task_id"]
    token = await machine.node_token()
    machine.start_node("told", task_id, token, "--index", "0", "--data", "hf:acme/things")
    await machine.wait_for(task_id, lambda task: bool(task["nodes"]))  # or the other is dealt part 0
    machine.start_node("dealt", task_id, token)
    done = await machine.wait_for(task_id, lambda task: task["state"] == "finished")
    assert done["rounds"][-1]["accuracy"] > 0.6 > done["rounds"][0]["accuracy"] / 2
    assert done["spec"]["data"]["pin"]["class_names"] == list(WORDS)

    made = await machine.call("run_simulation", spec=IMAGES, request_id="shades-simulated")
    simulated = await machine.wait_for(made["task_id"], lambda task: task["state"] == "finished")
    assert [each["sha256"] for each in simulated["rounds"]] == [each["sha256"] for each in done["rounds"]]


async def test_a_language_model_learns_from_texts_of_the_hub(machine: Machine) -> None:
    machine.start_server()
    spec = {
        "name": "questions",
        "model": {"id": "hf:tiny_llama", "lora": {"r": 4}},
        "data": {"id": "hf:acme/things", "config": "texts", "partition": {"parts": 1}, "text": {"max_length": 32}},
        "training": {"learning_rate": 0.01, "max_steps": 20},
        "rounds": 1,
    }
    task_id = (await machine.call("create_task", spec=spec, request_id="texts-test"))["task_id"]
    before = (await machine.call("evaluate_model", task_id=task_id, version=0))["loss"]
    machine.start_node("reader", task_id, await machine.node_token())
    done = await machine.wait_for(task_id, lambda task: task["state"] == "finished")
    assert done["rounds"][-1]["loss"] < before
