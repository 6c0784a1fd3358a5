"""Shares as places in the training set, for clients that cannot repeat NumPy's draws."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
import torch

from edge_client.data import load_share
from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, parse_spec
from mcp_server.cuts import Cuts
from resources.datasets import catalogue
from resources.workload import Workload
from tests.mcp_server.raw_node import enrolled
from tests.mcp_server.rpc import ProtocolError, Rpc
from tests.mcp_server.running import SPEC, Served

pytestmark = pytest.mark.anyio
DIRICHLET = {"id": "digits", "partition": {"kind": "dirichlet", "alpha": 0.3, "parts": 3, "seed": 7}}


def spec(**changes: Any) -> TaskSpec:
    return parse_spec(SPEC | changes)


async def share(rpc: Rpc, task_id: str, index: object) -> Any:
    return await rpc.read(f"potluck://tasks/{task_id}/partition/{index}")


@pytest.mark.parametrize("data", [DIRICHLET, SPEC["data"]], ids=["dirichlet", "iid"])
async def test_the_places_are_those_that_a_python_node_trains_and_scores_on(
    served: Served, data: dict[str, Any]
) -> None:
    task_id = await served.task(data=data)
    everything = catalogue.load("digits", "train")
    for index in range(data["partition"]["parts"]):
        told = await share(served.rpc(), task_id, index)
        assert (told["data"], told["partition_index"]) == ("digits", index)
        mine = load_share(spec(data=data | {"holdout": 0.0}), index, None).train
        named = everything.take(np.array(told["examples"]))
        assert torch.equal(named.x, mine.x)
        assert torch.equal(named.y, mine.y)


async def test_the_shares_of_a_task_are_its_whole_training_set_and_no_place_twice(served: Served) -> None:
    task_id = await served.task(data=DIRICHLET)
    shares = [(await share(served.rpc(), task_id, index))["examples"] for index in range(3)]
    assert sorted(place for places in shares for place in places) == list(range(1437))
    assert all(places == sorted(places) for places in shares)


async def test_viewers_operators_and_nodes_may_read_them(served: Served) -> None:
    task_id = await served.task()
    viewer = served.rpc((await served.token("viewer")).secret)
    answers = [await share(rpc, task_id, 1) for rpc in (viewer, await served.operator(), (await enrolled(served)).rpc)]
    assert answers[0]["examples"]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(("index", "says"), [("8", "outside 0..7"), ("-1", "no number"), ("x", "no number")])
async def test_an_index_that_names_no_share_is_refused(served: Served, index: str, says: str) -> None:
    task_id = await served.task()
    with pytest.raises(ProtocolError, match=says):
        await share(served.rpc(), task_id, index)


async def test_own_data_has_no_shares(served: Served) -> None:
    own = {"id": "own", "input_shape": [64], "num_classes": 10}
    task_id = await served.task(data=own, evaluation={"server": False})
    with pytest.raises(ProtocolError, match="own_data=true"):
        await share(served.rpc(), task_id, 0)


class Counted(Workload):
    """Counts the cuts, and holds each until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.cuts = 0
        self.begun, self.go_on = threading.Event(), threading.Event()

    def cut(self, spec: TaskSpec) -> list[Any]:
        self.cuts += 1
        self.begun.set()
        assert self.go_on.wait(30)
        return super().cut(spec)


async def test_many_nodes_that_ask_at_once_cost_one_cut_even_when_the_first_hangs_up() -> None:
    workload = Counted()
    cuts = Cuts(workload)
    first = asyncio.create_task(cuts.share(spec(), 0))
    await asyncio.to_thread(workload.begun.wait, 30)
    others = [asyncio.create_task(cuts.share(spec(), index)) for index in range(8)]
    first.cancel()
    await asyncio.wait([first])
    workload.go_on.set()
    assert sum(len(places) for places in await asyncio.gather(*others)) == 1437
    assert workload.cuts == 1


async def test_the_cuts_used_last_are_kept_and_older_ones_are_made_anew() -> None:
    workload = Counted()
    workload.go_on.set()
    cuts = Cuts(workload, size=2)
    for seed in (1, 2, 1, 3, 1, 2):
        await cuts.share(spec(seed=seed), 0)
    assert workload.cuts == 4


async def test_a_cut_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    workload, right = Workload(), Workload.cut

    def wrong(self: Workload, spec: TaskSpec) -> list[Any]:
        raise Refused(ErrorCode.DATA_UNAVAILABLE, "the disk is away.", "bring it back")

    cuts = Cuts(workload)
    monkeypatch.setattr(Workload, "cut", wrong)
    with pytest.raises(Refused, match="the disk is away"):
        await cuts.share(spec(), 0)
    monkeypatch.setattr(Workload, "cut", right)
    assert len(await cuts.share(spec(), 0)) > 0


async def test_a_share_too_large_for_one_answer_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_server.cuts.MOST_PLACES", 100)
    with pytest.raises(Refused, match="into more than 8 parts") as caught:
        await Cuts(Workload()).share(spec(), 0)
    assert caught.value.code is ErrorCode.TOO_LARGE
