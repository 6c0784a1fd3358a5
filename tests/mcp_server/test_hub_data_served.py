"""A data set of the Hub's layout, from the operator's question to a node's share, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_client.data import load_share, own_examples
from federation.errors import Refused
from federation.spec import parse_spec
from resources.datasets import named
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import SPEC, Served, serving
from tests.resources.hub.parquet_files import images, laid_out

pytestmark = pytest.mark.anyio
DATA = {"id": "hf:acme/things", "partition": {"parts": 2, "min_examples": 2}}
THINGS = SPEC | {"data": DATA, "cohort": {"size": 1}}
FILES = {"train.parquet": images(40, classes=3), "test.parquet": images(12, classes=3, seed=1)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("POTLUCK_DATA", str(laid_out(tmp_path, FILES)))
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "decoded"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


async def test_a_check_says_what_it_read_off_the_data_and_what_a_round_costs(served: Served) -> None:
    answer = await served.rpc().call("validate_task", spec=THINGS)
    assert (answer["valid"], answer["problems"]) == (True, [])
    assert answer["budget"]["parameters"] == 3 * (3 * 4) + 3
    said = {each["field"]: each["problem"] for each in answer["warnings"]}
    assert said["data.columns"] == "read off the data: x is image (images), y is label (3 classes)"


async def test_a_check_names_the_columns_that_there_are(served: Served) -> None:
    answer = await served.rpc().call("validate_task", spec=THINGS | {"data": DATA | {"columns": {"x": "picture"}}})
    (problem,) = answer["problems"]
    assert problem["field"] == "data.columns"
    assert "there is no column 'picture'; the columns are image (struct<bytes: binary" in problem["problem"]


async def test_what_is_nowhere_is_said_in_words(served: Served) -> None:
    answer = await served.rpc().call("validate_task", spec=THINGS | {"data": DATA | {"id": "hf:acme/nowhere"}})
    (problem,) = answer["problems"]
    assert problem["field"] == "data.id"
    assert "neither in a local folder nor to be had from the Hub (OfflineModeIsEnabled)" in problem["problem"]


async def test_a_large_set_that_is_not_here_is_valid_and_its_budget_unknown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_looked_at(*_: Any, **__: Any) -> Any:
        return named.pinning.NotHere("acme/things", 99 << 20)

    monkeypatch.setattr("resources.datasets.hub.pinning.pin", not_looked_at)
    answer = await served.rpc().call("validate_task", spec=THINGS)
    assert (answer["valid"], answer["budget"]) == (True, {})
    assert "its 99 MiB are not fetched to look at them" in answer["warnings"][0]["problem"]


async def test_the_task_is_pinned_and_its_nodes_take_disjoint_shares(served: Served, folder: Path) -> None:
    operator, request = await served.operator(), served.fresh()
    made = await operator.call("create_task", spec=THINGS, request_id=request)
    again = await operator.call("create_task", spec=THINGS, request_id=request)
    assert (again["task_id"], again["new"]) == (made["task_id"], False)
    task = await served.state_of(made["task_id"])
    pin = task["spec"]["data"]["pin"]
    assert [(file["path"], file["size"]) for file in pin["train"]] == [("train.parquet", len(FILES["train.parquet"]))]
    assert (task["input_shape"], task["num_classes"]) == ([1, 3, 4], 3)

    spec = parse_spec(task["spec"])
    parts = [load_share(spec, index, own_examples(spec, "hf:acme/things")) for index in (0, 1)]
    assert sum(len(part.train) + len(part.held_out) for part in parts) == 40
    told = (await served.rpc().read(f"potluck://tasks/{made['task_id']}/partition/1"))["examples"]
    everything = named.load(spec, "train").take(torch.tensor(told).numpy())
    assert sorted(everything.y.tolist()) == sorted([*parts[1].train.y.tolist(), *parts[1].held_out.y.tolist()])

    scores = await operator.call("evaluate_model", task_id=made["task_id"])
    assert scores["num_examples"] == 12
    assert len(scores["per_class_accuracy"]) == 3

    laid_out(folder, {"train.parquet": images(40, classes=3, seed=8)})  # the folder's owner changes it
    with pytest.raises(Refused):
        load_share(spec, 0, None)
    second = await operator.call("create_task", spec=THINGS, request_id=served.fresh())
    other = (await served.state_of(second["task_id"]))["spec"]["data"]["pin"]
    assert other["train"][0]["sha256"] != pin["train"][0]["sha256"]


async def test_a_node_that_holds_another_set_is_told_so(served: Served) -> None:
    spec = parse_spec((await served.state_of(await served.task(**THINGS)))["spec"])
    with pytest.raises(Refused, match="this task trains on hf:acme/things, not on hf:acme/other"):
        own_examples(spec, "hf:acme/other")


async def test_questions_about_data_of_the_hub_are_rationed(tmp_path: Path) -> None:
    async with serving(tmp_path / "rationed", hub_searches_per_minute=1) as few:
        await few.rpc().call("validate_task", spec=THINGS)
        async with refused(few, "rate_limited"):
            await few.rpc().call("validate_task", spec=THINGS)
        async with refused(few, "rate_limited"):
            await few.rpc().call("search_models", data_id="hf:acme/things")
        assert (await few.rpc().call("validate_task", spec=SPEC))["valid"]


async def test_models_are_ranked_for_data_of_the_hub(served: Served) -> None:
    found = await served.rpc().call("search_models", data_id="hf:acme/things")
    assert "takes hf:acme/things: [1, 3, 4], 3 classes" in [hit["reason"] for hit in found["hits"]]


async def test_the_folders_data_are_found(served: Served) -> None:
    found = await served.rpc().call("search_datasets", query="things")
    assert found["hits"][0]["id"] == "hf:acme/things"
    assert found["hub_unavailable"] is None
