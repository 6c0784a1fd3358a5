"""Data sets of the Hub, pinned when a task is created: every node trains on the same bytes, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, parse_spec
from federation.training import train
from resources.datasets import catalogue, named
from resources.workload import Workload
from tests.resources.fake_hub import FakeHub
from tests.resources.hub.parquet_files import BRANCH, CONVERTED, FIRST, SECOND, images, laid_out, task

TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"
FILES = {TRAIN: images(12), TEST: images(6, seed=1)}


@pytest.fixture
def filled(hub: FakeHub) -> FakeHub:
    hub.revisions = {FIRST: dict(FILES), SECOND: {TRAIN: images(20, seed=2), TEST: images(6, seed=3)}}
    hub.branches = {"main": FIRST}
    return hub


def test_a_pin_is_the_commit_the_files_and_what_is_in_them(filled: FakeHub) -> None:
    pin = named.settle(task()).data.pin
    assert pin is not None
    assert (pin.revision, pin.num_train, pin.num_test, pin.num_classes) == (FIRST, 12, 6, 2)
    assert (pin.holds, pin.input_shape, pin.columns.x, pin.columns.y) == ("images", (1, 3, 4), "image", "label")
    assert [(file.path, file.size) for file in (*pin.train, *pin.test)] == [(p, len(d)) for p, d in FILES.items()]


def test_nodes_get_the_pinned_bytes_when_the_branch_has_moved(
    filled: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = named.settle(task())
    there = parse_spec(spec.model_dump(mode="json"))  # as it reaches a node
    filled.branches["main"] = SECOND
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "another machine"))
    filled.asked.clear()
    examples = named.load(there, "train")
    assert len(examples) == 12
    assert filled.fetched() == ["train-00000-of-00001.parquet"]  # and a node fetches no test split
    assert all(FIRST in line for line in filled.asked if "/resolve/" in line)
    assert torch.equal(examples.x, named.load(spec, "train").x)


def test_a_node_with_other_bytes_does_not_train(
    filled: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = named.settle(task())
    filled.revisions[FIRST][TRAIN] = images(12, seed=9)
    assert len(filled.revisions[FIRST][TRAIN]) <= len(FILES[TRAIN])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(Refused, match="other bytes than the task's") as refused:
        named.load(spec, "train")
    assert refused.value.code is ErrorCode.HASH_MISMATCH


def test_a_hash_that_the_hub_states_and_its_file_has_not_is_refused(filled: FakeHub) -> None:
    filled.stated = {TRAIN: "0" * 64}
    with pytest.raises(Refused) as refused:
        named.settle(task())
    assert refused.value.code is ErrorCode.HASH_MISMATCH


def test_a_file_whose_hash_the_hub_does_not_state_is_pinned_by_its_bytes(filled: FakeHub) -> None:
    stated = named.settle(task()).data.pin
    filled.stated = {TRAIN: None, TEST: None}
    assert named.settle(task()).data.pin == stated


def test_a_file_is_refused_before_more_bytes_come_than_the_pin_says(
    filled: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = named.settle(task())
    filled.revisions[FIRST][TRAIN] += b"more"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "another machine"))
    filled.asked.clear()
    with pytest.raises(Refused, match="more than the") as refused:
        named.load(spec, "train")
    assert refused.value.code is ErrorCode.TOO_LARGE
    assert filled.fetched() == []


def test_the_hubs_own_conversion_serves_where_there_is_no_parquet(filled: FakeHub) -> None:
    filled.revisions = {FIRST: {"data.csv": b"a"}, CONVERTED: {"default/train/0000.parquet": FILES[TRAIN]}}
    filled.branches = {"main": FIRST, BRANCH: CONVERTED}
    pin = named.settle(task(evaluation={"server": False})).data.pin
    assert pin is not None
    assert (pin.revision, pin.num_train, pin.test) == (CONVERTED, 12, ())


def test_a_loading_script_is_named_and_never_run(filled: FakeHub) -> None:
    filled.revisions[FIRST] = {"things.py": b"raise SystemExit('ran')"}
    (problem,) = Workload().check(task())
    assert problem.field == "data.id"
    assert "loading script, and code from a data set is never run" in problem.problem


def test_a_spec_with_its_pin_makes_the_same_task_after_the_branch_has_moved(filled: FakeHub) -> None:
    spec = named.settle(task())
    filled.branches["main"] = SECOND
    workload = Workload()
    assert workload.check(spec) == []
    assert workload.settle(spec) == spec
    assert workload.settle(task()).data.pin != spec.data.pin


def test_a_pin_that_is_not_what_the_columns_say_is_a_problem(filled: FakeHub) -> None:
    spec = named.settle(task()).model_dump(mode="json")
    spec["data"]["image_size"] = [2, 2]
    (problem,) = Workload().check(parse_spec(spec))
    assert problem.field == "data.pin"
    assert "leave data.pin out" in problem.mend


def test_a_gated_data_set_says_where_to_ask(filled: FakeHub) -> None:
    filled.gated = True
    filled.stated = {TRAIN: None, TEST: None}
    with pytest.raises(Refused, match="is gated") as refused:
        named.settle(task())
    assert "https://huggingface.co/datasets/acme/things" in refused.value.mend


def test_a_hub_that_is_asked_too_often_is_said_in_words(filled: FakeHub) -> None:
    filled.mood = "busy"
    with pytest.raises(Refused, match="takes no more questions from this address") as refused:
        named.settle(task())
    assert "try again in some minutes" in refused.value.mend


def test_files_of_odd_names_are_none_of_the_data_sets(filled: FakeHub) -> None:
    filled.revisions[FIRST] |= {"data/train\x1b[2J.parquet": b"", "../test.parquet": b"", "x" * 400 + ".parquet": b""}
    pin = named.settle(task()).data.pin
    assert pin is not None
    assert [file.path for file in (*pin.train, *pin.test)] == [TRAIN, TEST]


def test_what_is_not_there_is_not_found(filled: FakeHub) -> None:
    for data, words in (({"id": "hf:acme/other"}, "nor on the Hub"), ({"revision": "v9"}, "has no revision v9")):
        with pytest.raises(Refused, match=words) as refused:
            named.settle(task(data))
        assert refused.value.code is ErrorCode.NOT_FOUND


def test_a_large_data_set_is_not_fetched_to_look_at_it(filled: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "LOOK_BYTES", 100)
    assert Workload().check(task(), fetch=False) == []
    with pytest.raises(named.NotLookedAt, match="are not fetched to look at them"):
        Workload().settle(task(), fetch=False)
    assert filled.fetched() == []
    assert Workload().check(task()) == []
    assert Workload().settle(task(), fetch=False).data.pin is not None  # now it is here


def test_more_than_is_taken_is_refused_before_a_byte_is_fetched(
    filled: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.datasets.hub.pinning.MOST_BYTES", 100)
    (problem,) = Workload().check(task())
    assert "more than the" in problem.problem
    assert filled.fetched() == []


def test_a_folder_of_the_hubs_layout_serves_without_the_hub(filled: FakeHub, tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "here", FILES)
    spec = named.settle(task(), folder=folder)
    assert spec.data.pin is not None
    assert spec.data.pin.revision is None
    assert filled.asked == []
    assert len(named.load(spec, "test", folder=folder)) == 6


def test_a_node_without_the_servers_folder_takes_the_same_bytes_from_the_hub(filled: FakeHub, tmp_path: Path) -> None:
    spec = named.settle(task(), folder=laid_out(tmp_path / "server", FILES))
    assert len(named.load(spec, "train", folder=tmp_path / "node")) == 12
    filled.branches["main"] = SECOND
    other = laid_out(tmp_path / "other", {TRAIN: images(12, seed=5)})
    with pytest.raises(Refused) as refused:
        named.load(spec, "train", folder=other)
    assert refused.value.code in (ErrorCode.HASH_MISMATCH, ErrorCode.TOO_LARGE)


def test_a_pinned_commit_is_served_by_a_folder_with_the_same_bytes(filled: FakeHub, tmp_path: Path) -> None:
    spec = named.settle(task())
    folder = laid_out(tmp_path / "here", FILES)
    filled.asked.clear()
    assert named.present(spec, "train", folder=folder)
    assert len(named.load(spec, "train", folder=folder)) == 12
    assert filled.asked == []


def test_a_link_out_of_the_data_folder_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    folder, outside = laid_out(tmp_path / "here", {}), laid_out(tmp_path / "outside", FILES)
    (folder / "hub" / "acme").mkdir(parents=True)
    (folder / "hub" / "acme" / "things").symlink_to(outside / "hub" / "acme" / "things")
    with pytest.raises(Refused, match="leads out of the data folder"):
        named.settle(task(), folder=folder)
    (folder / "hub" / "acme" / "things").unlink()
    inside = laid_out(folder, {}) / "hub" / "acme" / "things"
    (inside / "data").mkdir(parents=True)
    (inside / TRAIN).symlink_to(outside / "hub" / "acme" / "things" / TRAIN)
    with pytest.raises(Refused, match="leads out of the data set's folder"):
        named.settle(task(evaluation={"server": False}), folder=folder)


def test_the_catalogues_mnist_is_the_same_by_its_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    if REAL is None:
        pytest.skip("POTLUCK_DATA names no folder with MNIST")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = named.settle(_of("hf:ylecun/mnist"), folder=REAL)
    ours, theirs = named.load(spec, "test", folder=REAL), catalogue.load("mnist", "test", folder=REAL)
    assert torch.equal(ours.x, theirs.x)
    assert torch.equal(ours.y, theirs.y)
    cuts = [Workload(REAL).cut(each) for each in (spec, _of("mnist"))]
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(*cuts, strict=True))


@pytest.mark.e2e
def test_training_on_mnist_by_its_repository_is_training_on_the_catalogues() -> None:
    if REAL is None:
        pytest.skip("POTLUCK_DATA names no folder with MNIST")
    weights = []
    for spec in (named.settle(_of("hf:ylecun/mnist"), folder=REAL), _of("mnist")):
        workload = Workload(REAL)
        share = named.load(spec, "train", folder=REAL, indices=workload.cut(spec)[0])
        model = workload.build(spec)
        train(model, share, spec.training.model_copy(update={"max_steps": 20}), seed=1)
        weights.append(model.state_dict())
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def _of(data_id: str) -> TaskSpec:
    return parse_spec({"name": "t", "model": {"id": "mlp"}, "data": {"id": data_id}})


def _real() -> Path | None:
    folder = Path(os.environ.get("POTLUCK_DATA", "/nowhere"))
    return folder if (folder / "hub" / "ylecun" / "mnist").is_dir() else None


REAL = _real()
