from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from edge_client.endpoint import Endpoint
from edge_client.events import Event
from edge_client.node import Node
from federation.errors import ErrorCode, Refused
from tests.edge_client.fake_server import FakeServer

pytestmark = pytest.mark.anyio


def node_of(server: FakeServer, tmp_path: Path, events: list[Event] | None = None, **options: Any) -> Node:
    heard = events if events is not None else []
    node = Node("http://server.test", "t-1", key=tmp_path / "node.pem", on_event=heard.append, **options)
    node.endpoint = cast(Endpoint, server)
    return node


async def test_a_node_trains_until_the_task_is_finished(tmp_path: Path) -> None:
    server, events = FakeServer(rounds=2), list[Event]()
    summary = await node_of(server, tmp_path, events).run()
    assert [update["round"] for update in server.updates] == [1, 2]
    assert [update["base_version"] for update in server.updates] == [0, 1]
    assert summary.rounds == 2
    assert summary.num_steps == sum(update["num_steps"] for update in server.updates)
    assert summary.bytes_up == sum(len(update["payload"]) for update in server.updates)
    kinds = [event.kind for event in events if event.kind != "progress"]
    assert kinds == ["joined", "round", "submitted", "round", "submitted", "finished"]


async def test_a_node_reports_its_training_and_the_score_of_the_model_it_received(tmp_path: Path) -> None:
    server = FakeServer(rounds=1)
    await node_of(server, tmp_path).run()
    metrics = server.updates[0]["metrics"]
    assert {"train_loss", "train_accuracy", "train_seconds", "memory_bytes"} < set(metrics)
    assert metrics["eval_examples"] == 3  # a tenth of a fortieth of 1437
    assert server.updates[0]["num_examples"] == 33


async def test_the_same_node_makes_the_same_update_again(tmp_path: Path) -> None:
    payloads = []
    for _ in range(2):
        server = FakeServer(rounds=1)
        await node_of(server, tmp_path, index=5).run()
        payloads.append(server.updates[0]["payload"])
    assert payloads[0] == payloads[1]


async def test_other_parts_of_the_data_make_other_updates(tmp_path: Path) -> None:
    payloads = []
    for index in (5, 6):
        server = FakeServer(rounds=1)
        await node_of(server, tmp_path, index=index).run()
        payloads.append(server.updates[0]["payload"])
    assert payloads[0] != payloads[1]


@pytest.mark.parametrize("lane", ["auto", "inband"])
async def test_an_update_too_large_for_a_call_is_uploaded_first(tmp_path: Path, lane: str) -> None:
    server = FakeServer(rounds=1, inline_max=100)
    await node_of(server, tmp_path, lane=lane).run()
    assert len(server.updates) == 1
    tools = {tool for tool, _ in server.calls}
    assert "begin_upload" in tools
    assert ("upload_chunk" in tools) == (lane == "inband")


async def test_an_upload_that_the_server_lost_is_brought_again(tmp_path: Path) -> None:
    lost: list[str] = []

    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update" and not lost:
            lost.append(tool)
            server.uploads.clear()
            raise Refused(ErrorCode.UPLOAD_GONE, "it is gone.", "begin again")

    server = FakeServer(rounds=1, inline_max=100, answer=answer)
    await node_of(server, tmp_path).run()
    assert len(server.updates) == 1


async def test_a_node_that_missed_a_round_asks_for_the_next(tmp_path: Path) -> None:
    missed: list[int] = []

    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update" and not missed:
            missed.append(server.round)
            server.round += 1
            raise Refused(ErrorCode.ROUND_CLOSED, "round 1 is closed.", "ask for work")

    server, events = FakeServer(rounds=2, answer=answer), list[Event]()
    await node_of(server, tmp_path, events).run()
    assert [update["round"] for update in server.updates] == [2]
    assert "round 1 is closed" in next(event.text for event in events if event.kind == "skipped")


async def test_a_fenced_node_stops_and_says_so(tmp_path: Path) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update":
            raise Refused(ErrorCode.FENCED, "another process shook hands with this key.", "stop one of them")

    server = FakeServer(answer=answer)
    with pytest.raises(Refused) as caught:
        await node_of(server, tmp_path).run()
    assert caught.value.code is ErrorCode.FENCED
    assert server.handshakes == 1


async def test_a_node_whose_token_the_server_forgot_shakes_hands_again(tmp_path: Path) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update" and arguments["node_token"] == "token-1":
            raise Refused(ErrorCode.BAD_NODE_TOKEN, "unknown token.", "shake hands again")

    server = FakeServer(rounds=1, answer=answer)
    await node_of(server, tmp_path).run()
    assert server.handshakes == 2
    assert [update["node_token"] for update in server.updates] == ["token-2"]


async def test_training_stops_when_the_server_wants_no_more_of_it(tmp_path: Path) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        if tool == "handshake" and "challenge" in arguments:
            return server.handshake(arguments) | {"heartbeat_s": 0}
        if tool == "report_progress":
            server.round = server.rounds + 1
            return {"state": "stop", "reason": "the task was cancelled"}
        if tool == "get_assignment" and server.round <= server.rounds:
            work = server.get_assignment(arguments)
            return work | {"spec": work["spec"] | {"training": {"epochs": 1000, "batch_size": 1}}}
        return None

    server, events = FakeServer(answer=answer), list[Event]()
    await node_of(server, tmp_path, events).run()
    assert not server.updates
    assert "the task was cancelled" in next(event.text for event in events if event.kind == "skipped")


async def test_an_evaluation_is_reported_with_the_version_that_was_scored(tmp_path: Path) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        if tool == "get_assignment" and server.round == 1:
            work = server.get_assignment(arguments)
            server.round = 2
            return work | {"action": "evaluate"}
        return None

    server = FakeServer(rounds=1, answer=answer)
    await node_of(server, tmp_path).run()
    report = next(arguments for tool, arguments in server.calls if tool == "report_progress")
    assert (report["phase"], report["version"], report["num_examples"]) == ("evaluation", 0, 3)
    assert 0 <= report["accuracy"] <= 1


async def test_nothing_that_a_node_tells_holds_a_secret(tmp_path: Path) -> None:
    server, events = FakeServer(rounds=1, inline_max=100), list[Event]()
    await node_of(server, tmp_path, events, token="bearer-secret").run()
    told = "".join(f"{event.text} {event.data}" for event in events)
    assert "token-1" not in told
    assert "bearer-secret" not in told
    assert "raw/up-1" not in told


async def test_the_wrong_data_set_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="--data digits"):
        await node_of(FakeServer(), tmp_path, data="mnist").run()


async def test_a_path_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="neither a file or folder"):
        Node("http://server.test", "t-1", data=str(tmp_path / "nothing"))


async def test_a_node_that_is_only_ever_told_later_ends_with_its_patience(tmp_path: Path) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> None:
        raise Refused(ErrorCode.BUSY, "the database is locked.", "try again")

    server, events = FakeServer(answer=answer), list[Event]()
    with pytest.raises(Refused, match="locked") as caught:
        await node_of(server, tmp_path, events, patience_s=0.1).run()
    assert caught.value.code is ErrorCode.BUSY
    assert len(server.calls) == 1
