"""Tabs train real rounds of a real server: on WebGPU beside Python nodes, on the CPU, over SSE; and are refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from chromium import FLAGS, program
from playwright.sync_api import BrowserContext, Playwright
from tab import Tab
from tab_federation import TabFederation, Tensors

from federation.data_spec import PartitionSpec
from federation.partition import partition
from resources.datasets import catalogue as data
from resources.models import catalogue as models

PARTS = {"kind": "dirichlet", "parts": 3, "alpha": 1.0, "seed": 5}


@pytest.mark.timeout(180)
def test_a_webgpu_tab_and_two_python_nodes_train_rounds_whose_model_is_the_weighted_mean_of_all_deltas(
    context: BrowserContext, everyones: TabFederation
) -> None:
    task_id = everyones.create(
        name="webgpu beside python",
        data={"id": "digits", "partition": PARTS},
        training={"epochs": 2, "learning_rate": 0.1, "momentum": 0.9},
        cohort={"size": 3, "min_nodes": 3, "quorum": 3},
        keep_rounds=3,
    )
    everyones.join("node-a", task_id, "--index", "1")
    everyones.join("node-b", task_id, "--index", "2")
    tab = Tab(context, f"{everyones.page}?engine=webgpu").ready().train(task_id)
    task = everyones.finished(task_id)
    tab.is_in("Task over")

    assert [each["state"] for each in task["rounds"]] == ["closed"] * 3
    [ready] = tab.heard("ready")
    assert ready["engine"]["kind"] == "webgpu"
    for round in (1, 2, 3):
        base, made = everyones.model(task_id, round - 1), everyones.model(task_id, round)
        updates = everyones.updates(task_id, round)
        assert len(updates) == 3
        assert tab.node_id in {update.node_id for update in updates}
        total = sum(update.num_examples for update in updates)
        for name, tensor in base.items():
            deltas = [update.num_examples / total * everyones.delta(update)[name] for update in updates]
            assert all(np.abs(delta).max() > 0 for delta in deltas)
            assert np.abs(tensor + sum(deltas) - made[name]).max() <= 1e-6

    own = [
        update for round in (1, 2, 3) for update in everyones.updates(task_id, round) if update.node_id == tab.node_id
    ]
    losses = [update.train_loss for update in own]
    assert losses[0] > losses[1] > losses[2]
    base = everyones.model(task_id, 0)
    moved = {name: tensor + everyones.delta(own[0])[name] for name, tensor in base.items()}
    assert loss_on_share_0(moved) < 0.5 * loss_on_share_0(base), "PyTorch finds what the tab learnt, too"
    assert tab.complaints == []


def loss_on_share_0(weights: Tensors) -> float:
    """PyTorch's loss on the tab's share."""
    mine = partition(data.labels("digits", "train"), PartitionSpec(**PARTS), PARTS["seed"])[0]
    examples = data.load("digits", "train", indices=mine)
    model = models.create_model("mlp", input_shape=(1, 8, 8), num_classes=10)
    model.load_state_dict({name: torch.from_numpy(tensor).float() for name, tensor in weights.items()})
    with torch.inference_mode():
        return float(torch.nn.functional.cross_entropy(model(examples.x), examples.y))


def test_a_tab_without_webgpu_trains_on_the_cpu_and_says_why(playwright: Playwright, everyones: TabFederation) -> None:
    task_id = everyones.create(name="no webgpu")
    with playwright.chromium.launch(executable_path=program(), args=FLAGS) as browser:
        tab = Tab(browser.new_context(), everyones.page).ready()
        tab.says("Training runs on the CPU").says("this browser offers no WebGPU adapter")
        tab.train(task_id).is_in("Task over")
        rounds = everyones.finished(task_id)["rounds"]
        assert [each["submitted"] for each in rounds] == [1, 1, 1]
        assert rounds[-1]["accuracy"] > 0.85
        assert tab.complaints == []


def test_a_tab_with_transport_sse_does_a_whole_task_over_sse(context: BrowserContext, everyones: TabFederation) -> None:
    task_id = everyones.create(name="over sse")
    tab = Tab(context, f"{everyones.page}?transport=sse").ready().train(task_id).is_in("Task over")
    for tool in ("get_assignment", "submit_update"):
        paths = {urlsplit(url).path for url in tab.calls(tool)}
        assert paths == {"/messages/"}
    assert [each["submitted"] for each in everyones.finished(task_id)["rounds"]] == [1, 1, 1]


def test_a_refused_update_is_shown_with_the_reason(context: BrowserContext, everyones: TabFederation) -> None:
    task_id = everyones.create(name="narrow", aggregation={"rule": "fedavg", "max_update_norm": 1e-6})
    tab = Tab(context, everyones.page).ready().train(task_id)
    tab.says("The update was refused").says("norm")
    assert everyones.updates(task_id, 1) == []
    assert everyones.call("get_task", task_id=task_id)["rounds"][0]["submitted"] == 0
