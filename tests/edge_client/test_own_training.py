"""Nodes whose training is the caller's: everything else stays the node's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from edge_client.endpoint import Endpoint
from edge_client.events import Event
from edge_client.node import Node
from federation.errors import Refused
from federation.trainer import Learnt, Lesson, Trainer
from federation.training import train
from federation.weights import load_bytes
from tests.edge_client.fake_server import FakeServer

pytestmark = pytest.mark.anyio


def node_of(server: FakeServer, tmp_path: Path, trainer: Trainer | None, **options: Any) -> Node:
    node = Node("http://server.test", "t-1", key=tmp_path / "node.pem", index=5, trainer=trainer, **options)
    node.endpoint = cast(Endpoint, server)
    return node


def as_the_task_asks(lesson: Lesson) -> Learnt:
    """Just what the node itself would do."""
    done = train(lesson.model, lesson.train, lesson.training, seed=lesson.seed)
    return Learnt(lesson.model.state_dict(), done.num_examples, done.num_steps, {"train_loss": done.loss})


async def test_the_same_training_by_a_function_makes_the_same_bits(tmp_path: Path) -> None:
    updates = []
    for trainer in (None, as_the_task_asks):
        server = FakeServer(rounds=1)
        await node_of(server, tmp_path, trainer).run()
        updates.append(server.updates[0])
    own, given = updates
    assert given["payload"] == own["payload"]
    assert (given["num_examples"], given["num_steps"]) == (own["num_examples"], own["num_steps"])


async def test_the_update_is_what_the_trainer_changed_with_the_nodes_own_score_beside_its_metrics(
    tmp_path: Path,
) -> None:
    seen: list[Lesson] = []

    def one_more(lesson: Lesson) -> Learnt:
        seen.append(lesson)
        weights = {name: tensor + 1 for name, tensor in lesson.model.state_dict().items()}
        return Learnt(weights, 7, 3, {"own_score": 0.25})

    server = FakeServer(rounds=2)
    await node_of(server, tmp_path, one_more).run()
    for update in server.updates:
        assert all(torch.allclose(tensor, torch.ones_like(tensor)) for tensor in load_bytes(update["payload"]).values())
        assert (update["num_examples"], update["num_steps"], update["metrics"]["own_score"]) == (7, 3, 0.25)
        assert {"eval_loss", "eval_examples", "train_seconds"} < update["metrics"].keys()
    assert [lesson.round for lesson in seen] == [1, 2]
    assert (len(seen[0].train), len(seen[0].held_out), seen[0].partition_index) == (33, 3, 5)
    assert seen[0].seed != seen[1].seed


async def test_wrong_shapes_never_leave_the_node(tmp_path: Path) -> None:
    def cut(lesson: Lesson) -> Learnt:
        return Learnt({name: tensor[:1] for name, tensor in lesson.model.state_dict().items()}, 1, 1)

    server = FakeServer(rounds=1)
    with pytest.raises(Refused, match="has shape"):
        await node_of(server, tmp_path, cut).run()
    assert not server.updates


async def test_a_score_that_is_not_known_is_not_reported(tmp_path: Path) -> None:
    events: list[Event] = []

    def telling(lesson: Lesson) -> Learnt:
        lesson.progress(1, 1, 0.5)
        return as_the_task_asks(lesson)

    await node_of(FakeServer(rounds=1), tmp_path, telling, on_event=events.append).run()
    told = next(event.data for event in events if event.kind == "progress")
    assert told["loss"] == 0.5
    assert math.isnan(told["accuracy"])


async def test_training_that_nobody_waits_for_ends_at_its_next_word(tmp_path: Path) -> None:
    def answer(tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        if tool == "handshake" and "challenge" in arguments:
            return server.handshake(arguments) | {"heartbeat_s": 0}
        if tool == "report_progress":
            server.round = server.rounds + 1
            return {"state": "stop", "reason": "the task was cancelled"}
        return None

    def endless(lesson: Lesson) -> Learnt:
        while True:
            lesson.progress(1, 2, 0.5)

    server, events = FakeServer(answer=answer), list[Event]()
    await node_of(server, tmp_path, endless, on_event=events.append).run()
    assert not server.updates
    assert "the task was cancelled" in next(event.text for event in events if event.kind == "skipped")
