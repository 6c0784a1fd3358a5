"""What a person brings to a tab: files that are none, real digits in MNIST's own format, drawings."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, expect
from tab import Tab
from tab_federation import TabFederation

from resources.datasets import catalogue as data

SECRET = "0.31415926"
NODE_TOOLS = ("get_assignment", "begin_upload", "upload_chunk", "submit_update", "report_progress")


def write_idx(path: Path, values: NDArray[np.uint8]) -> Path:
    """An array of bytes in the format that MNIST was published in."""
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes())
    return path


def drop(tab: Tab, *files: Path) -> None:
    """Drops files on the zone, as the system's file manager would."""
    tab.page.get_by_text("My files", exact=True).click()
    zone = tab.page.locator("#zone")
    zone.scroll_into_view_if_needed()
    box = zone.bounding_box()
    assert box is not None
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 10}
    dragged = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    devtools = tab.page.context.new_cdp_session(tab.page)
    for step in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": step, **where, "data": dragged})
    devtools.detach()


def test_bad_files_are_answered_beside_the_zone_with_file_row_and_mend_and_nothing_is_sent(
    context: BrowserContext, everyones: TabFederation, tmp_path: Path
) -> None:
    task_id = everyones.create(name="bad files")
    tab = Tab(context, everyones.page).ready().choose(task_id)
    header = ",".join(["label", *(f"p{i}" for i in range(64))])
    row = ",".join(["3", *[SECRET] * 64])
    table = tmp_path / "digits.csv"
    table.write_text("\n".join([header, row, row.replace(SECRET, "seven", 1)]))
    arrays = tmp_path / "digits.npz"
    np.savez(arrays, x=np.zeros((5, 1, 9, 9), np.uint8), y=np.zeros(5, np.int64))
    images = write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((4, 8, 8), np.uint8))
    notes = tmp_path / "notes.txt"
    notes.write_text(SECRET)
    answers = {
        table: ("digits.csv, row 3 holds no number: 'seven'", "correct or remove the row"),
        arrays: ("digits.npz: x has shape [5, 1, 9, 9].", "give shape [n, 1, 8, 8]"),
        images: ("train-images-idx3-ubyte: not one file of images and one of labels", "drop one pair"),
        notes: ("notes.txt is of no known kind", "drop a folder of images by class, a .csv, an .npz or a pair of IDX"),
    }
    for file, words in answers.items():
        drop(tab, file)
        for each in words:
            expect(tab.page.locator("#data-trouble")).to_contain_text(each)
        expect(tab.page.locator("#examined")).to_be_empty()
        assert not any(tab.calls(tool) for tool in NODE_TOOLS)
        assert not tab.sent(SECRET)
    good = tmp_path / "good.csv"
    good.write_text("\n".join([header, row, row]))
    drop(tab, good)
    expect(tab.page.locator("#examined")).to_contain_text("2 examples")
    expect(tab.page.locator("#data-trouble")).to_be_empty()
    assert tab.complaints == []


@pytest.mark.timeout(240)
@pytest.mark.skipif("POTLUCK_DATA" not in os.environ, reason="real MNIST is read from the folder POTLUCK_DATA")
def test_a_tab_trains_mnist_cnn_on_a_persons_idx_files_beside_python_nodes_and_the_loss_falls(
    context: BrowserContext, everyones: TabFederation, tmp_path: Path
) -> None:
    task_id = everyones.create(
        name="idx files beside shares",
        model={"id": "mnist_cnn"},
        data={"id": "mnist", "partition": {"kind": "iid", "parts": 200}},
        training={"epochs": 1, "batch_size": 32, "learning_rate": 0.05, "momentum": 0.9},
        cohort={"size": 3, "min_nodes": 3, "quorum": 3},
        keep_rounds=3,
    )
    for index in (0, 1):
        everyones.join(f"mnist-{index}", task_id, "--index", str(index))
    mine = data.load("mnist", "train", indices=np.arange(59_600, 60_000))
    pixels = (mine.x.numpy() * 255).round().astype(np.uint8)[:, 0]
    images = write_idx(tmp_path / "train-images-idx3-ubyte", pixels)
    labels = write_idx(tmp_path / "train-labels-idx1-ubyte", mine.y.numpy().astype(np.uint8))
    tab = Tab(context, everyones.page).ready().choose(task_id)
    drop(tab, images, labels)
    expect(tab.page.locator("#examined")).to_contain_text("400 examples in 10 classes")
    counts = np.bincount(mine.y.numpy(), minlength=10).tolist()
    assert tab.heard("examined")[-1] == {"type": "examined", "examples": 400, "perClass": counts}
    tab.train(task_id, "idx").is_in("Task over")

    task = everyones.finished(task_id)
    own = [one for round in (1, 2, 3) for one in everyones.updates(task_id, round) if one.node_id == tab.node_id]
    assert [update.num_examples for update in own] == [360] * 3, "a tenth is held out"
    assert own[0].train_loss > own[1].train_loss > own[2].train_loss
    losses = [each["loss"] for each in task["rounds"]]
    assert losses[0] > losses[1] > losses[2], "on the server's test set"
    assert [each["submitted"] for each in task["rounds"]] == [3, 3, 3]


def test_drawn_digits_are_counted_and_trained_on(context: BrowserContext, everyones: TabFederation) -> None:
    task_id = everyones.create(name="drawn", rounds=1)
    tab = Tab(context, everyones.page).ready().choose(task_id)
    tab.page.get_by_text("Draw", exact=True).click()
    pad = tab.page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    strokes = {
        "1": [(0.5, 0.1), (0.5, 0.9)],
        "7": [(0.2, 0.1), (0.8, 0.1), (0.4, 0.9)],
        "4": [(0.3, 0.1), (0.2, 0.6), (0.8, 0.6)],
    }
    for label, (first, *rest) in strokes.items():
        tab.page.locator("#labels").get_by_text(label, exact=True).click()
        tab.page.mouse.move(box["x"] + first[0] * box["width"], box["y"] + first[1] * box["height"])
        tab.page.mouse.down()
        for x, y in rest:
            tab.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        tab.page.mouse.up()
        tab.page.get_by_role("button", name="Keep", exact=True).click()
        expect(tab.page.get_by_role("img", name=f"A drawing of {label}")).to_be_visible()
    expect(tab.page.locator("#examined")).to_contain_text("3 examples in 3 classes")
    assert tab.heard("examined")[-1]["perClass"] == [0, 1, 0, 0, 1, 0, 0, 1, 0, 0]
    tab.train(task_id).is_in("Task over")
    [update] = everyones.updates(task_id, 1)
    status = tab.heard("status")[-1]["status"]
    assert status["examples"] + status["heldOut"] == 3
    assert update.num_examples == status["examples"]
