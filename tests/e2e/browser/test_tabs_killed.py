"""A browser killed while it trains, a server killed while a tab sends to it: nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from chromium import FLAGS, WEBGPU, processes_of, program
from evidence import receipts_kept
from playwright.sync_api import BrowserContext, Playwright
from tab import Tab
from tab_federation import TabFederation

from potluck.processes import Died

_KEPT = """
    async (task) => {
      for (;;) {
        try {
          const potluck = await (await navigator.storage.getDirectory()).getDirectoryHandle('potluck');
          return (await (await potluck.getDirectoryHandle(task)).getFileHandle('training')).name;
        } catch (error) {
          if (error.name !== 'NotFoundError') throw error;
          await new Promise((again) => setTimeout(again, 50));
        }
      }
    }
"""


def test_a_tab_killed_in_the_middle_of_its_training_goes_on_by_itself_and_submits_once(
    playwright: Playwright, everyones: TabFederation, tmp_path: Path
) -> None:
    epochs = 250
    task_id = everyones.create(
        name="killed tab",
        rounds=1,
        training={"epochs": epochs, "learning_rate": 0.01, "batch_size": 16},
        model={"id": "mlp", "options": {"hidden": 128}},
    )

    def launch() -> BrowserContext:
        return playwright.chromium.launch_persistent_context(
            tmp_path, executable_path=program(), args=[*FLAGS, WEBGPU], headless=True
        )

    tab = Tab(launch(), everyones.page).ready().train(task_id)
    tab.page.evaluate(_KEPT, task_id)
    node_id = tab.node_id
    killed = processes_of(tmp_path)
    assert len(killed) > 2, "browser, renderer and others"
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert everyones.updates(task_id, 1) == []

    context = launch()
    tab = Tab(context, everyones.page)  # and nobody presses anything
    tab.is_in("Task over")
    [resumed] = [one["text"] for one in tab.heard("log") if "going on after step" in one["text"]]
    step, total = (int(word.rstrip(".")) for word in resumed.split() if word.rstrip(".").isdigit())
    assert 0 < step < total
    assert tab.heard("step")[0]["step"]["step"] > step
    [update] = everyones.updates(task_id, 1)
    assert (update.node_id, update.num_steps) == (node_id, total)
    context.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("point", "received"),
    [
        ("part_written:2", 0),  # some of its bytes are on disk; the first file was version 0 of the model
        ("update_committed", 1),  # all of it is, and nobody was told
    ],
)
def test_a_server_killed_while_a_tab_uploads_loses_and_doubles_nothing(
    context: BrowserContext, own: TabFederation, point: str, received: int
) -> None:
    own.machine.start_server("--open", environment={"POTLUCK_FAULT": f"kill@{point}"})
    task_id = own.create(name="killed server", model={"id": "mlp", "options": {"hidden": 256}}, rounds=2)
    tab = Tab(context, own.page).ready().train(task_id)
    with pytest.raises(Died):
        own.machine.children.wait(own.machine.server, timeout=60)
    assert sum(receipts_kept(own.machine.data_dir).values()) == received
    tab.is_in("Server away").says("The server is away; trying again")

    own.machine.kill_server("--open")
    tab.is_in("Task over")
    task = own.finished(task_id)
    assert [(each["state"], each["submitted"]) for each in task["rounds"]] == [("closed", 1)] * 2
    assert [len(own.updates(task_id, round)) for round in (1, 2)] == [1, 1]
    assert tab.heard("status")[-1]["status"]["roundsGiven"] == 2
    deltas = own.delta(own.updates(task_id, 1)[0])
    base, made = own.model(task_id, 0), own.model(task_id, 1)
    assert all(abs(base[name] + deltas[name] - made[name]).max() <= 1e-6 for name in base)
