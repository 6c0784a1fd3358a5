"""Selection and early stopping as callers meet them, over the wire."""

from __future__ import annotations

import pytest

from tests.mcp_server.raw_node import cohort, packed
from tests.mcp_server.running import SPEC, Served

pytestmark = pytest.mark.anyio
PARTS = {"selected", "delivered", "dropped_out", "weight_share"}


async def test_validation_warns_when_power_of_choice_has_only_training_losses_to_go_by(served: Served) -> None:
    operator = await served.operator()
    spec = SPEC | {"cohort": {"size": 2, "selection": "power_of_choice"}}
    asked = [
        await operator.call("validate_task", spec=spec | changes)
        for changes in ({}, {"evaluation": {"nodes": False}}, {"data": SPEC["data"] | {"holdout": 0}})
    ]
    assert all(answer["valid"] for answer in asked)
    warned = [[w["field"] for w in answer["warnings"]].count("cohort.selection") for answer in asked]
    assert warned == [0, 1, 1]
    wrong = SPEC | {"cohort": {"size": 2, "candidates": 4}, "stopping": {"patience": 0}}
    answer = await operator.call("validate_task", spec=wrong)
    assert {problem["field"] for problem in answer["problems"]} == {"cohort", "stopping.patience"}


async def test_a_task_that_reached_its_target_says_so_and_shows_parts_to_all_but_nodes(served: Served) -> None:
    nodes = await cohort(served, 2, stopping={"target_accuracy": 0.01})
    for node in nodes:
        await node.submit_inline(packed(value=0.1))
    await served.close_due_rounds()
    task_id = nodes[0].task_id
    views = {}
    for role in ("viewer", "operator", "node"):
        rpc = served.rpc((await served.token(role)).secret)
        views[role] = await rpc.call("get_task", task_id=task_id)
        assert (await rpc.read(f"potluck://tasks/{task_id}")).get("nodes") == views[role]["nodes"]
    for view in views.values():
        assert view["state"] == "finished"
        assert view["reason"] == "target accuracy 0.01 reached in round 1, by version 1"
        assert view["best"] == {"version": 1} | {name: view["rounds"][0][name] for name in ("accuracy", "loss")}
    assert views["node"]["nodes"] is None
    for role in ("viewer", "operator"):
        parts = [{name: member[name] for name in PARTS} for member in views[role]["nodes"]]
        assert parts == [{"selected": 1, "delivered": 1, "dropped_out": 0, "weight_share": 0.5}] * 2
    by_class = [row for row in await served.rpc().read(f"potluck://tasks/{task_id}/metrics") if "class_" in row["name"]]
    assert sorted(row["name"] for row in by_class) == [f"accuracy.class_{c}" for c in range(10)]
