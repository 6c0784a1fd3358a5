"""What nodes report: it is checked before anyone computes with it, and cannot break what others read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mcp_server.raw_node import RawNode, cohort, enrolled, packed, sha256
from tests.mcp_server.refusals import refused
from tests.mcp_server.rpc import Refusal
from tests.mcp_server.running import Served

pytestmark = pytest.mark.anyio
NOT_FINITE = [float("nan"), float("inf"), "nan", "-inf"]


async def finished(served: Served) -> list[RawNode]:
    """Two nodes of a task that has ended, each asked to score its final model."""
    nodes = await cohort(served, rounds=1)
    for node in nodes:
        await node.submit_inline(packed(value=0.1))
    await served.close_due_rounds()
    for node in nodes:
        assert (await node.join(node.task_id))["action"] == "evaluate"
    return nodes


@pytest.mark.parametrize("value", NOT_FINITE, ids=str)
async def test_a_metric_that_is_no_number_is_refused(served: Served, value: object) -> None:
    node, _ = await cohort(served)
    async with refused(served, "invalid_argument", says="train_loss"):
        await node.submit_inline(packed(), metrics={"train_loss": value})


@pytest.mark.parametrize(
    "metrics", [{"x" * 65: 1.0}, {"": 1.0}, {"a b": 1.0}, {"x": "y"}, {"x": None}, {f"m{n}": 1.0 for n in range(51)}]
)
async def test_metrics_of_odd_names_or_number_are_refused(served: Served, metrics: dict[str, Any]) -> None:
    node, _ = await cohort(served)
    async with refused(served, "invalid_argument", says="metrics"):
        await node.submit_inline(packed(), metrics=metrics)


def scores(name: str, value: float, examples: float) -> dict[str, float]:
    return {name: value, "eval_examples": examples}


ABSURD = [
    pytest.param([scores("eval_loss", 1e308, 1e308), scores("eval_loss", -1e308, 1e308)], id="nan"),
    pytest.param([scores("eval_loss", 1e308, 1e308), scores("eval_loss", 1.0, 10.0)], id="inf"),
    pytest.param([{"train_loss": 1.7e308}, {"train_loss": 1.7e308}], id="train"),
    pytest.param([scores("eval_accuracy", 0.5, -1.0), scores("eval_accuracy", 0.9, 1.5)], id="minus"),
    pytest.param([scores("eval_accuracy", 7.0, 1.0), scores("eval_accuracy", 0.5, 1.0)], id="above"),
]


@pytest.mark.parametrize("reported", ABSURD)
async def test_no_metric_of_a_node_can_stop_a_round_or_spoil_its_scores(
    served: Served, reported: list[dict[str, float]]
) -> None:
    nodes = await cohort(served)
    for node, metrics in zip(nodes, reported, strict=True):
        try:
            await node.submit_inline(packed(value=0.1), metrics=metrics)
        except Refusal:  # as good an answer as any
            await node.submit_inline(packed(value=0.1))
    await served.close_due_rounds()
    state = await served.state_of(nodes[0].task_id)
    assert (state["state"], state["rounds"][0]["state"]) == ("running", "closed")
    for row in await served.rpc().read(f"potluck://tasks/{nodes[0].task_id}/metrics"):
        assert isinstance(row["value"], float | int)
        assert row["name"] != "eval_accuracy" or 0 <= row["value"] <= 1


async def test_a_model_that_diverged_past_scoring_still_closes_its_round_and_pauses_its_task(served: Served) -> None:
    (node,) = await cohort(served, 1)
    await node.submit_inline(packed(value=3e38))
    await served.close_due_rounds()
    state = await served.state_of(node.task_id)
    assert (state["state"], state["rounds"][0]["state"]) == ("paused", "closed")
    assert "the loss of version 1 is not finite" in state["reason"]


async def test_a_task_whose_last_round_failed_can_be_brought_to_an_end(served: Served) -> None:
    (node,) = await cohort(served, 1, rounds=1)
    data = packed(value=0.1)
    await node.deliver(data)
    served.federation.shared.spool.path(sha256(data)).unlink()  # a disk that lost a file
    await served.close_due_rounds()
    assert (await served.state_of(node.task_id))["state"] == "paused"
    task, _ = await served.federation.tasks.control(node.task_id, "resume", version=None, actor="test")
    assert task.state == "finished" or (await node.join(node.task_id))["action"] == "train"


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss", float("nan")), ("loss", float("inf")), ("loss", "-inf"), ("examples_per_s", float("inf"))],
)
async def test_progress_that_is_no_number_does_not_spoil_the_view_of_the_task(
    served: Served, name: str, value: object
) -> None:
    node, _ = await cohort(served)
    try:
        await node.call("report_progress", task_id=node.task_id, round=1, **{name: value})
    except Refusal as refusal:
        assert refusal.code == "invalid_argument"  # noqa: PT017 - either will do, so long as the view can be read
    assert await served.rpc().read(f"potluck://tasks/{node.task_id}")


@pytest.mark.parametrize(
    "report",
    [
        {"step": -1},
        {"accuracy": 1.1},
        {"accuracy": "nan"},
        {"phase": "sleeping"},
        {"round": 0},
        {"examples_per_s": -1},
        {"memory_bytes": -1},
        {"loss": "much"},
    ],
    ids=str,
)
async def test_progress_out_of_bounds_is_refused(served: Served, report: dict[str, Any]) -> None:
    node, _ = await cohort(served)
    async with refused(served, "invalid_argument", says=next(iter(report))):
        await node.call("report_progress", **({"task_id": node.task_id, "round": 1} | report))


async def test_progress_of_a_node_without_an_assignment_is_refused(served: Served) -> None:
    one, _ = await cohort(served)
    outsider = await enrolled(served)
    for number in (1, 2, 99):
        async with refused(served, "not_in_cohort"):
            await outsider.call("report_progress", task_id=one.task_id, round=number)
    async with refused(served, "not_found"):
        await one.call("report_progress", task_id="task-aaaaaaaaaaaaaaaa", round=1)


async def test_a_goodbye_to_a_task_that_does_not_exist_is_refused(served: Served) -> None:
    node = await enrolled(served)
    async with refused(served, "not_found"):
        await node.call("report_progress", task_id="task-aaaaaaaaaaaaaaaa", round=1, phase="leaving")


async def test_a_node_whose_round_is_over_is_told_to_stop(served: Served) -> None:
    one, other = await cohort(served)
    assert (await one.call("report_progress", task_id=one.task_id, round=1))["state"] == "continue"
    for node in (one, other):
        await node.submit_inline(packed(value=0.1))
    await served.close_due_rounds()
    heard = await one.call("report_progress", task_id=one.task_id, round=1)
    assert (heard["state"], heard["lease_s"]) == ("stop", 0)


async def score(node: RawNode, **changes: Any) -> dict[str, Any]:
    scores = {"version": 1, "num_examples": 10, "loss": 1.0, "accuracy": 0.5}
    where = {"task_id": node.task_id, "round": 1, "phase": "evaluation"}
    return await node.call("report_progress", **(where | scores | changes))


async def test_scores_are_averaged_by_examples_and_a_repeated_score_replaces_the_first(served: Served) -> None:
    one, other = await finished(served)
    await score(one, accuracy=1.0)
    for _ in range(2):
        await score(one, accuracy=0.75, num_examples=30)
        await score(other, accuracy=0.25, num_examples=10)
    assert (await served.state_of(one.task_id))["rounds"][0]["node_accuracy"] == pytest.approx(0.625)
    assert (await one.join(one.task_id))["action"] == "finished"


async def test_a_score_of_a_model_that_is_not_there_is_refused(served: Served) -> None:
    one, _ = await finished(served)
    async with refused(served, "wrong_version", says="version 9"):
        await score(one, version=9)


async def test_a_score_that_nobody_asked_for_is_refused(served: Served) -> None:
    one, _ = await cohort(served)
    async with refused(served, "not_in_cohort"):
        await score(one, version=0)
    outsider = await enrolled(served)
    outsider.task_id = (await finished(served))[0].task_id
    async with refused(served, "not_in_cohort"):
        await score(outsider)


@pytest.mark.parametrize("missing", ["version", "num_examples", "loss", "accuracy"])
async def test_a_score_without_one_of_its_parts_is_refused(served: Served, missing: str) -> None:
    one, _ = await finished(served)
    async with refused(served, "invalid_argument", says=missing):
        await score(one, **{missing: None})


@pytest.mark.parametrize("loss", [*NOT_FINITE, 1.7e308], ids=str)
async def test_a_loss_that_is_no_number_is_refused_or_changes_no_mean(served: Served, loss: object) -> None:
    one, other = await finished(served)
    try:
        await score(one, loss=loss)
    except Refusal as refusal:
        assert refusal.code == "invalid_argument"  # noqa: PT017 - either will do, so long as the scores can be read
    await score(other)
    assert await served.rpc().read(f"potluck://tasks/{one.task_id}/metrics")
