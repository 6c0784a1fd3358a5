"""A node that ended in the middle of a round, and the next process with its key."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from edge_client.endpoint import Endpoint
from edge_client.events import Event
from edge_client.node import Node
from federation.errors import ErrorCode, Refused
from tests.edge_client.fake_server import SPEC, FakeServer

pytestmark = pytest.mark.anyio


class Broken(Exception):
    """Stands for a crash: it ends the process and is handled nowhere."""


def node_of(server: FakeServer, tmp_path: Path, events: list[Event], **options: Any) -> Node:
    node = Node("http://server.test", "t-1", key=tmp_path / "node.pem", on_event=events.append, **options)
    node.endpoint = cast(Endpoint, server)
    return node


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events if event.kind != "progress"]


def longer(server: FakeServer, epochs: int = 50) -> None:
    """Gives the server's task more local training."""
    get_assignment = server.get_assignment

    def more(tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        if tool == "get_assignment" and server.round <= server.rounds:
            return get_assignment(arguments) | {"spec": SPEC | {"training": {"epochs": epochs, "batch_size": 8}}}
        return None

    server.answer = more


async def test_a_node_that_is_cancelled_while_it_trains_goes_on_from_there_to_the_same_update(tmp_path: Path) -> None:
    calm = FakeServer(rounds=1)
    longer(calm)
    await node_of(calm, tmp_path / "calm", []).run()
    server, events = FakeServer(rounds=1), list[Event]()
    longer(server)
    (tmp_path / "calm" / "node.pem").rename(tmp_path / "node.pem")
    training = asyncio.Event()

    def heard(event: Event) -> None:
        events.append(event)
        if event.kind == "progress":
            training.set()

    node = Node("http://server.test", "t-1", key=tmp_path / "node.pem", on_event=heard)
    node.endpoint = cast(Endpoint, server)
    running = asyncio.create_task(node.run())
    await training.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [arguments["phase"] for tool, arguments in server.calls if tool == "report_progress"] == ["leaving"]
    again = list[Event]()
    await node_of(server, tmp_path, again).run()
    resumed = next(event for event in again if event.kind == "resumed")
    assert 0 < resumed.data["step"] < resumed.data["total_steps"]
    assert server.updates[0]["payload"] == calm.updates[0]["payload"]
    assert len(server.updates) == 1


async def test_a_finished_update_is_delivered_by_the_next_process_without_training(tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update":
            sent.append(arguments)
            if len(sent) == 1:
                raise Refused(ErrorCode.FENCED, "another process has this key.", "stop one of them")

    server, events = FakeServer(rounds=1, answer=answer), list[Event]()
    with pytest.raises(Refused, match="fenced"):
        await node_of(server, tmp_path, events).run()
    events.clear()
    summary = await node_of(server, tmp_path, events).run()
    assert kinds(events) == ["joined", "resumed", "submitted", "finished"]
    assert not [event for event in events if event.kind == "progress"]
    assert sent[0]["inline_b64"] == sent[1]["inline_b64"]
    assert sent[0]["signature"] == sent[1]["signature"]
    assert summary.num_steps == server.updates[0]["num_steps"] > 0
    assert not (tmp_path / "node.state").exists() or not list((tmp_path / "node.state").iterdir())


async def test_a_receipt_that_got_lost_is_asked_for_by_the_next_process_before_it_trains_on(tmp_path: Path) -> None:
    server, events = FakeServer(rounds=2), list[Event]()
    submit, broken = server.submit_update, []

    def answer(tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        if tool != "submit_update":
            return None
        if not broken:
            broken.append(submit(arguments))
            raise Refused(ErrorCode.FENCED, "the receipt is lost.", "none")
        return broken[0] if arguments["round"] == 1 else None

    server.answer = answer
    with pytest.raises(Refused):
        await node_of(server, tmp_path, []).run()
    summary = await node_of(server, tmp_path, events).run()
    assert kinds(events) == ["joined", "resumed", "submitted", "round", "submitted", "finished"]
    assert [update["round"] for update in server.updates] == [1, 2]
    assert summary.rounds == 2


async def test_an_update_whose_round_is_over_is_dropped_and_said_so(tmp_path: Path) -> None:
    first: list[str] = []

    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update" and arguments["round"] == 1:
            first.append(tool)
            code = ErrorCode.FENCED if len(first) == 1 else ErrorCode.ROUND_CLOSED
            raise Refused(code, "round 1 is closed.", "ask for work")

    server, events = FakeServer(rounds=2, answer=answer), list[Event]()
    with pytest.raises(Refused):
        await node_of(server, tmp_path, []).run()
    server.round = 2
    await node_of(server, tmp_path, events).run()
    assert kinds(events) == ["joined", "resumed", "skipped", "round", "submitted", "finished"]
    assert [update["round"] for update in server.updates] == [2]


async def test_an_update_that_the_server_finds_wrong_is_not_brought_again(tmp_path: Path) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update" and not fine:
            raise Refused(ErrorCode.BAD_UPDATE, "the norm is too large.", "train less")

    fine: list[bool] = []
    server, events = FakeServer(rounds=1, answer=answer), list[Event]()
    with pytest.raises(Refused, match="norm"):
        await node_of(server, tmp_path, []).run()
    fine.append(True)
    await node_of(server, tmp_path, events).run()
    assert kinds(events) == ["joined", "round", "submitted", "finished"]


@pytest.mark.parametrize(
    "code", [ErrorCode.UNAUTHORIZED, ErrorCode.INVALID_ARGUMENT, ErrorCode.NOT_FOUND, ErrorCode.UPLOAD_INCOMPLETE]
)
async def test_a_refusal_that_is_not_the_updates_fault_leaves_it_for_the_next_process(
    tmp_path: Path, code: ErrorCode
) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update" and not fine:
            raise Refused(code, "not now.", "start again")

    fine: list[bool] = []
    server, events = FakeServer(rounds=1, answer=answer), list[Event]()
    with pytest.raises(Refused, match="not now"):
        await node_of(server, tmp_path, []).run()
    fine.append(True)
    await node_of(server, tmp_path, events).run()
    assert kinds(events) == ["joined", "resumed", "submitted", "finished"]


@pytest.mark.parametrize("status", [408, 401])
async def test_an_upload_that_is_cut_off_or_turned_away_does_not_cost_the_update(tmp_path: Path, status: int) -> None:
    server, events, puts = FakeServer(rounds=1, inline_max=100), list[Event](), []
    lane = server.raw_lane

    def once(request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT":
            puts.append(request)
            if len(puts) == 1:
                code = {408: "invalid_argument", 401: "unauthorized"}[status]
                error = {"code": code, "problem": "no.", "mend": "mend it"}
                return httpx2.Response(status, json={"error": error})
        return lane(request)

    server.raw_lane = once  # type: ignore[method-assign]
    if status == 401:
        with pytest.raises(Refused, match="unauthorized"):
            await node_of(server, tmp_path, []).run()
        expected = ["joined", "resumed", "submitted", "finished"]
    else:
        expected = ["joined", "round", "submitted", "finished"]
    await node_of(server, tmp_path, events).run()
    assert kinds(events) == expected
    assert len(server.updates) == 1


async def test_an_update_of_one_share_is_never_brought_as_that_of_another(tmp_path: Path) -> None:
    calm = FakeServer(rounds=1)
    await node_of(calm, tmp_path / "calm", [], index=5).run()
    await left_undelivered(server := FakeServer(rounds=1), tmp_path, index=0)
    events = list[Event]()
    await node_of(server, tmp_path, events, index=5).run()
    assert kinds(events) == ["joined", "trouble", "round", "submitted", "finished"]
    assert "its partition_index is 0, not 5" in next(event.text for event in events if event.kind == "trouble")
    assert server.updates[0]["payload"] == calm.updates[0]["payload"]


async def test_an_update_to_another_spec_is_not_brought(tmp_path: Path) -> None:
    await left_undelivered(server := FakeServer(rounds=1), tmp_path)
    longer(server, epochs=2)
    events = list[Event]()
    await node_of(server, tmp_path, events).run()
    assert kinds(events) == ["joined", "resumed", "trouble", "round", "submitted", "finished"]
    assert "its spec_sha256 is" in next(event.text for event in events if event.kind == "trouble")


async def left_undelivered(server: FakeServer, tmp_path: Path, **options: Any) -> None:
    """A first life that ended with a finished update on disk."""

    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update":
            raise Refused(ErrorCode.FENCED, "another process has this key.", "stop one of them")

    calm, server.answer = server.answer, answer
    with pytest.raises(Refused, match="fenced"):
        await node_of(server, tmp_path, [], **options).run()
    server.answer = calm


async def test_a_model_that_is_there_is_not_downloaded_again_unless_the_disk_has_spoilt_it(tmp_path: Path) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> None:
        if tool == "submit_update":
            raise Refused(ErrorCode.FENCED, "another process.", "stop one")

    server, gets = FakeServer(rounds=1, answer=answer), []
    lane = server.raw_lane

    def counted(request: httpx2.Request) -> httpx2.Response:
        gets.append(request.method)
        return lane(request)

    async def run() -> Path:
        with pytest.raises(Refused, match="fenced"):
            await node_of(server, tmp_path, []).run()
        (state,) = (tmp_path / "node.state").iterdir()
        (state / "update").unlink()
        (model,) = (state / "model").iterdir()
        assert hashlib.sha256(model.read_bytes()).hexdigest() == server.sha256
        return model

    server.raw_lane = counted  # type: ignore[method-assign]
    await run()
    model = await run()
    assert gets == ["GET"]
    model.write_bytes(bytes(len(server.model)))
    await run()
    assert gets == ["GET", "GET"]


async def test_two_processes_with_copies_of_one_key_are_refused_by_name(tmp_path: Path) -> None:
    server, refusals = FakeServer(rounds=1), list[Refused]()
    key, copy = tmp_path / "node.pem", tmp_path / "copy.pem"
    state = tmp_path / "state"

    async def second() -> None:
        copy.write_bytes(key.read_bytes())
        copy.chmod(0o600)
        node = Node("http://server.test", "t-1", key=copy, state_dir=state)
        node.endpoint = cast(Endpoint, server)
        with pytest.raises(Refused, match="another process is this node") as caught:
            await node.run()
        refusals.append(caught.value)

    others: list[asyncio.Task[None]] = []
    first = Node(
        "http://server.test",
        "t-1",
        key=key,
        state_dir=state,
        on_event=lambda event: others.append(asyncio.create_task(second())) if event.kind == "joined" else None,
    )
    first.endpoint = cast(Endpoint, server)
    await first.run()
    await asyncio.gather(*others)
    assert [refused.code for refused in refusals] == [ErrorCode.FENCED]
    assert len(server.updates) == 1
