"""What operators do: every action may be repeated, and none is done in the wrong state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.mcp_server.raw_node import cohort, packed
from tests.mcp_server.refusals import refused
from tests.mcp_server.rpc import Refusal, Rpc
from tests.mcp_server.running import SPEC, Served

pytestmark = pytest.mark.anyio
UNKNOWN = "task-aaaaaaaaaaaaaaaa"


@pytest.fixture
async def operator(served: Served) -> Rpc:
    return await served.operator()


async def test_a_repeated_request_makes_one_task(served: Served, operator: Rpc) -> None:
    request = {"spec": SPEC, "request_id": served.fresh()}
    first = await operator.call("create_task", **request)
    before = await served.snapshot()
    assert await operator.call("create_task", **request) == first | {"new": False}
    assert await served.snapshot() == before


async def test_a_request_id_makes_no_second_task_of_another_spec(served: Served, operator: Rpc) -> None:
    request = {"spec": SPEC, "request_id": served.fresh()}
    await operator.call("create_task", **request)
    async with refused(served, "invalid_argument", says="another spec"):
        await operator.call("create_task", **request | {"spec": SPEC | {"seed": 1}})


async def test_the_same_request_at_once_makes_one_task(served: Served, operator: Rpc) -> None:
    request = {"spec": SPEC, "request_id": served.fresh()}
    answers = await asyncio.gather(*(operator.call("create_task", **request) for _ in range(5)))
    assert len({answer["task_id"] for answer in answers}) == 1
    assert sum(answer["new"] for answer in answers) == 1


async def test_of_two_specs_at_once_under_one_request_id_one_is_refused(served: Served, operator: Rpc) -> None:
    for _ in range(3):
        request_id = served.fresh()
        specs = (SPEC, SPEC | {"seed": 1})
        calls = (operator.call("create_task", spec=spec, request_id=request_id) for spec in specs)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers].count(Refusal) == 1


@pytest.mark.parametrize(
    "request_id", ["short", "x" * 101, "white space", "../../etc/passwd", "bad\nid-long-enough", ""]
)
async def test_a_request_id_that_is_none_is_refused(served: Served, operator: Rpc, request_id: str) -> None:
    async with refused(served, "invalid_argument", says="request_id"):
        await operator.call("create_task", spec=SPEC, request_id=request_id)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rounds": 0}, "rounds"),
        ({"training": {"learning_rate": -1}}, "training.learning_rate"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate"),
        ({"trainning": {}}, "trainning"),
        ({"model": {"id": "no_such_model"}}, "no_such_model"),
        ({"model": {"id": "../../etc/passwd"}}, "model.id"),
        ({"model": {"id": "mlp", "options": {"hidden": 10**9}}}, "hidden"),
        ({"data": {"id": "no_such_data"}}, "no_such_data"),
        ({"data": {"id": "digits", "partition": {"parts": 9_999}}}, "partition"),
        ({"cohort": {}}, "cohort"),
        ({"cohort": {"size": 2, "quorum": 3}}, "quorum"),
        ({"name": "two\nlines"}, "name"),
    ],
    ids=str,
)
async def test_a_spec_that_cannot_be_trained_is_refused_by_the_field(
    served: Served, operator: Rpc, changes: dict[str, Any], says: str
) -> None:
    async with refused(served, "invalid_spec", says=says):
        await operator.call("create_task", spec=SPEC | changes, request_id=served.fresh())
    before = await served.snapshot()
    checked = await operator.call("validate_task", spec=SPEC | changes)
    assert not checked["valid"]
    assert all(problem["mend"] for problem in checked["problems"])
    assert says in str(checked["problems"])
    assert await served.snapshot() == before


@pytest.mark.parametrize(
    ("before", "action"),
    [
        ([], "pause"),
        ([], "resume"),
        (["cancel"], "start"),
        (["cancel"], "pause"),
        (["cancel"], "resume"),
        (["start", "cancel"], "resume"),
        (["start", "pause"], "start"),
    ],
    ids=str,
)
async def test_an_action_in_the_wrong_state_is_refused(
    served: Served, operator: Rpc, before: list[str], action: str
) -> None:
    task_id = await served.task(start=False)
    for step in before:
        await operator.call("control_task", task_id=task_id, action=step)
    async with refused(served, "wrong_state", says=task_id):
        await operator.call("control_task", task_id=task_id, action=action)


async def test_an_action_on_a_finished_task_is_refused(served: Served, operator: Rpc) -> None:
    (node,) = await cohort(served, 1, rounds=1)
    await node.submit_inline(packed(value=0.1))
    await served.close_due_rounds()
    for action in ("start", "pause", "resume", "cancel"):
        async with refused(served, "wrong_state", says="finished"):
            await operator.call("control_task", task_id=node.task_id, action=action)


@pytest.mark.parametrize("steps", [["start"], ["start", "pause"], ["start", "pause", "resume"], ["cancel"]], ids=str)
async def test_a_repeated_action_changes_nothing(served: Served, operator: Rpc, steps: list[str]) -> None:
    task_id = await served.task(start=False)
    for step in steps:
        assert (await operator.call("control_task", task_id=task_id, action=step))["new"]
    before = await served.snapshot()
    assert not (await operator.call("control_task", task_id=task_id, action=steps[-1]))["new"]
    assert await served.snapshot() == before


async def test_a_paused_task_hands_out_no_work_and_a_resumed_one_does(served: Served, operator: Rpc) -> None:
    (node,) = await cohort(served, 1)
    await operator.call("control_task", task_id=node.task_id, action="pause")
    await node.submit_inline(packed(value=0.1))  # the round in progress ends
    await served.close_due_rounds()
    assert "paused" in (await node.join(node.task_id))["reason"]
    await operator.call("control_task", task_id=node.task_id, action="resume")
    assert (await node.join(node.task_id))["round"] == 2


async def test_rolling_back_makes_an_older_version_the_one_to_train_from(served: Served, operator: Rpc) -> None:
    (node,) = await cohort(served, 1)
    first = node.assignment["model"]["sha256"]
    await node.submit_inline(packed(value=0.1))
    await served.close_due_rounds()
    rolled = await operator.call("control_task", task_id=node.task_id, action="roll_back", version=0)
    assert (rolled["version"], rolled["new"]) == (0, True)
    again = await node.join(node.task_id)
    assert (again["round"], again["model"]["version"], again["model"]["sha256"]) == (2, 0, first)
    await node.submit_inline(packed(value=0.2))
    await served.close_due_rounds()
    assert (await served.state_of(node.task_id))["version"] == 2


async def test_rolling_back_to_the_current_version_changes_nothing(served: Served, operator: Rpc) -> None:
    task_id = await served.task()
    before = await served.snapshot()
    assert not (await operator.call("control_task", task_id=task_id, action="roll_back", version=0))["new"]
    assert await served.snapshot() == before


async def test_rolling_back_is_refused_without_a_version_and_while_a_round_collects(
    served: Served, operator: Rpc
) -> None:
    one, two = await cohort(served)
    for node in (one, two):
        await node.submit_inline(packed())
    await served.close_due_rounds()
    for node in (one, two):
        await node.join(one.task_id)
    for version, code in ((None, "invalid_argument"), (5, "not_found"), (0, "wrong_state")):
        async with refused(served, code, says="ver" if version is None or version else "collecting"):
            await operator.call("control_task", task_id=one.task_id, action="roll_back", version=version)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("get_task", {}),
        ("predict", {"inputs": [[0.0] * 64]}),
        ("control_task", {"action": "pause"}),
        ("aggregate_round", {"round": 1}),
        ("evaluate_model", {}),
        ("export_model", {}),
    ],
)
@pytest.mark.parametrize(
    ("task_id", "code"), [(UNKNOWN, "not_found"), ("../../etc/passwd", "invalid_argument"), (7, "invalid_argument")]
)
async def test_a_task_that_does_not_exist_is_refused_by_every_tool(
    served: Served, operator: Rpc, tool: str, arguments: dict[str, Any], task_id: object, code: str
) -> None:
    async with refused(served, code, says="task"):
        await operator.call(tool, task_id=task_id, **arguments)


async def test_a_round_without_updates_is_not_aggregated(served: Served, operator: Rpc) -> None:
    one, _ = await cohort(served)
    async with refused(served, "quorum_missed", says="no update yet"):
        await operator.call("aggregate_round", task_id=one.task_id, round=1)
    async with refused(served, "not_found"):
        await operator.call("aggregate_round", task_id=one.task_id, round=2)
    open_task = await served.task()
    async with refused(served, "wrong_state", says="open"):
        await operator.call("aggregate_round", task_id=open_task, round=1)
    await operator.call("control_task", task_id=open_task, action="cancel")
    async with refused(served, "wrong_state", says="void"):
        await operator.call("aggregate_round", task_id=open_task, round=1)


async def test_a_round_is_aggregated_over_what_has_arrived_and_once_only(served: Served, operator: Rpc) -> None:
    one, other = await cohort(served)
    await one.submit_inline(packed(value=0.1))
    answers = await asyncio.gather(*(operator.call("aggregate_round", task_id=one.task_id, round=1) for _ in range(3)))
    before = await served.snapshot()
    answers.append(await operator.call("aggregate_round", task_id=one.task_id, round=1))
    assert all(answer == {"task_id": one.task_id, "round": 1, "state": "closed", "version": 1} for answer in answers)
    assert await served.snapshot() == before
    async with refused(served, "round_closed"):
        await other.submit_inline(packed(value=0.2))


async def test_a_repeated_request_answers_the_same_token(served: Served, operator: Rpc) -> None:
    request = {"request_id": served.fresh(), "role": "node", "label": "lab", "max_nodes": 3}
    first = await operator.call("issue_token", **request)
    before = await served.snapshot()
    assert await operator.call("issue_token", **request) == first
    for changes in ({"role": "operator", "max_nodes": None}, {"label": "other"}, {"max_nodes": 4}):
        async with refused(served, "invalid_argument", says="another token"):
            await operator.call("issue_token", **request | changes)
    assert await served.snapshot() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "role"),
        ({"role": "viewer", "revoke": "x"}, "role"),
        ({"role": "root"}, "role"),
        ({"role": "viewer", "max_nodes": 2}, "max_nodes"),
        ({"role": "node", "max_nodes": 0}, "max_nodes"),
        ({"role": "node", "expires_in_s": 0}, "expires_in_s"),
        ({"role": "node", "expires_in_s": float("inf")}, "expires_in_s"),
        ({"role": "node", "label": "x" * 81}, "label"),
    ],
    ids=str,
)
async def test_a_token_that_makes_no_sense_is_refused(
    served: Served, operator: Rpc, arguments: dict[str, Any], says: str
) -> None:
    async with refused(served, "invalid_argument", says=says):
        await operator.call("issue_token", request_id=served.fresh(), **arguments)


async def test_a_revoked_token_ends_at_once_and_its_request_does_not_bring_it_back(
    served: Served, operator: Rpc
) -> None:
    request = {"request_id": served.fresh(), "role": "viewer"}
    issued = await operator.call("issue_token", **request)
    for _ in range(2):
        ended = await operator.call("issue_token", request_id=served.fresh(), revoke=issued["token_id"])
        assert ended["revoked"]
    assert (await served.rpc(issued["token"]).post("tools/list")).status_code == 401
    async with refused(served, "wrong_state", says="revoked"):
        await operator.call("issue_token", **request)
    async with refused(served, "not_found"):
        await operator.call("issue_token", request_id=served.fresh(), revoke="../../etc/passwd")


@pytest.mark.parametrize(
    "inputs",
    [
        [[0.0] * 63],
        [[0.0] * 65],
        [[[0.0] * 64]],
        [[]],
        [0.5],
        ["x"],
        [None],
        [{}],
        [[0.0] * 63 + ["x"]],
        [[0.0, [1.0]]],
    ],
    ids=range(10),
)
async def test_inputs_of_the_wrong_shape_are_refused(served: Served, operator: Rpc, inputs: list[Any]) -> None:
    task_id = await served.task()
    async with refused(served, "invalid_argument", says="inputs[0]"):
        await operator.call("predict", task_id=task_id, inputs=inputs)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400], ids=["nan", "inf", "big"])
async def test_inputs_that_are_no_finite_numbers_are_refused(served: Served, operator: Rpc, value: float) -> None:
    task_id = await served.task()
    async with refused(served, "invalid_argument", says="inputs[0]"):
        await operator.call("predict", task_id=task_id, inputs=[[value] * 64])


@pytest.mark.parametrize("count", [0, 257])
async def test_too_few_or_too_many_inputs_are_refused(served: Served, operator: Rpc, count: int) -> None:
    task_id = await served.task()
    async with refused(served, "invalid_argument", says="inputs"):
        await operator.call("predict", task_id=task_id, inputs=[[0.0] * 64] * count)


async def test_predictions_are_rationed_by_caller(served: Served, operator: Rpc) -> None:
    task_id = await served.task()
    arguments = {"task_id": task_id, "inputs": [[0.5] * 64]}
    answers = await asyncio.gather(*(operator.call("predict", **arguments) for _ in range(30)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert {refusal.code for refusal in refusals} == {"rate_limited"}
    assert all("seconds" in refusal.mend for refusal in refusals)
    predicted = [answer for answer in answers if isinstance(answer, dict)]
    assert 20 <= len(predicted) < 30
    assert sum(predicted[0]["probabilities"][0]) == pytest.approx(1)
    assert (await (await served.operator()).call("predict", **arguments))["version"] == 0


async def test_an_evaluation_is_kept_once_however_often_it_is_asked_for(served: Served, operator: Rpc) -> None:
    task_id = await served.task()
    first = await operator.call("evaluate_model", task_id=task_id)
    rows = (await served.snapshot()).rows()
    assert await operator.call("evaluate_model", task_id=task_id, version=0) == first
    assert (await served.snapshot()).rows() == rows
    async with refused(served, "not_found", says="version 1"):
        await operator.call("evaluate_model", task_id=task_id, version=1)
