"""An update counts once, for its own round, by its own node, with the counts that were signed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.mcp_server.raw_node import RawNode, cohort, enrolled, packed, sha256
from tests.mcp_server.refusals import refused
from tests.mcp_server.rpc import Refusal
from tests.mcp_server.running import Served

pytestmark = pytest.mark.anyio
CAP = 5_000


@pytest.fixture(scope="module")
async def pair(served: Served) -> list[RawNode]:
    """The cohort of an open round; nothing is accepted from it."""
    return await cohort(served, aggregation={"max_examples": CAP})


@pytest.mark.parametrize("num_examples", [0, -1, CAP + 1, 10**9, 2**63, 10**40])
async def test_a_number_of_examples_outside_the_tasks_cap_is_refused(
    served: Served, pair: list[RawNode], num_examples: int
) -> None:
    async with refused(served, "bad_count", says="num_examples"):
        await pair[0].submit_inline(packed(), num_examples=num_examples)


@pytest.mark.parametrize("num_steps", [0, -5, 10**9 + 1, 10**40])
async def test_a_number_of_steps_that_cannot_be_is_refused(served: Served, pair: list[RawNode], num_steps: int) -> None:
    async with refused(served, "bad_count", says="num_steps"):
        await pair[0].submit_inline(packed(), num_steps=num_steps)


@pytest.mark.parametrize("value", [1.5, "many", None, [1], {}])
async def test_a_count_that_is_no_whole_number_is_refused(served: Served, pair: list[RawNode], value: object) -> None:
    arguments = pair[0].submission(packed()) | {"num_examples": value}
    async with refused(served, "invalid_argument", says="num_examples"):
        await pair[0].call("submit_update", inline_b64="AAAA", **arguments)


@pytest.mark.parametrize(
    "signed",
    [
        {"round": 2},
        {"base_version": 1},
        {"num_examples": 99},
        {"num_steps": 11},
        {"sha256": "0" * 64},
        {"task_id": "task-aaaaaaaaaaaaaaaa"},
        {"node_id": "node-aaaaaaaaaaaaaaaa"},
    ],
    ids=lambda signed: next(iter(signed)),
)
async def test_a_signature_over_anything_else_than_the_update_is_refused(
    served: Served, pair: list[RawNode], signed: dict[str, Any]
) -> None:
    data = packed(value=0.5)
    async with refused(served, "bad_signature", touches={"uploads"}):
        await pair[0].submit_inline(data, signature=pair[0].signature(data, **signed))
    assert not served.federation.shared.spool.has(sha256(data))


@pytest.mark.parametrize("signature", ["", "AAAA", "é", "=" * 88, "A" * 86, "A" * 200])
async def test_what_is_no_signature_is_refused(served: Served, pair: list[RawNode], signature: str) -> None:
    async with refused(served, "bad_signature", touches={"uploads"}):
        await pair[0].submit_inline(packed(value=0.5), signature=signature)


async def test_another_nodes_signature_is_refused(served: Served, pair: list[RawNode]) -> None:
    one, other = pair
    data = packed(value=0.5)
    async with refused(served, "bad_signature", touches={"uploads"}):
        await one.submit_inline(data, signature=other.signature(data, node_id=one.node_id))


async def test_one_node_cannot_submit_as_another(served: Served, pair: list[RawNode]) -> None:
    one, other = pair
    data = packed(value=0.5)
    async with refused(served, "bad_node_token"):
        await one.submit_inline(data, node_id=other.node_id, signature=one.signature(data, node_id=other.node_id))
    async with refused(served, "bad_node_token"):
        await one.submit_inline(data, node_id=other.node_id, node_token=other.node_token)


async def test_an_upload_of_another_node_is_refused(served: Served, pair: list[RawNode]) -> None:
    one, other = pair
    data = packed(value=0.75)
    begun = await other.begin(data)
    await other.put(begun["url"], data)
    async with refused(served, "not_found", says="this node has no upload"):
        await one.submit(data, begun["upload_id"])
    async with refused(served, "not_found", says="this node has no upload"):
        await one.chunk(begun["upload_id"], 0, data)


async def test_an_upload_that_is_not_complete_is_refused(served: Served, pair: list[RawNode]) -> None:
    data = packed(value=0.8)
    begun = await pair[0].begin(data)
    async with refused(served, "upload_incomplete", says="0 of"):
        await pair[0].submit(data, begun["upload_id"])
    await pair[0].chunk(begun["upload_id"], 0, data[:100])
    async with refused(served, "upload_incomplete", says="100 of"):
        await pair[0].submit(data, begun["upload_id"])


async def test_an_update_comes_by_exactly_one_lane(served: Served, pair: list[RawNode]) -> None:
    arguments = pair[0].submission(packed())
    async with refused(served, "invalid_argument", says="either"):
        await pair[0].call("submit_update", **arguments)
    async with refused(served, "invalid_argument", says="either"):
        await pair[0].call("submit_update", inline_b64="AAAA", upload_id="up-" + "a" * 24, **arguments)


@pytest.mark.parametrize("tool", ["begin", "submit_inline"])
async def test_a_node_outside_the_cohort_is_refused(served: Served, pair: list[RawNode], tool: str) -> None:
    outsider = await enrolled(served)
    outsider.task_id = pair[0].task_id
    async with refused(served, "not_in_cohort"):
        await getattr(outsider, tool)(packed())
    await outsider.join(pair[0].task_id)
    assert outsider.assignment["action"] == "wait"
    async with refused(served, "not_in_cohort"):
        await getattr(outsider, tool)(packed())


@pytest.mark.parametrize("tool", ["begin", "submit_inline"])
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"round": 2}, "not_found"),
        ({"round": 999_999}, "not_found"),
        ({"round": 0}, "invalid_argument"),
        ({"round": -1}, "invalid_argument"),
        ({"base_version": 1}, "wrong_version"),
        ({"task_id": "task-aaaaaaaaaaaaaaaa"}, "not_found"),
        ({"task_id": "../../etc/passwd"}, "invalid_argument"),
    ],
    ids=str,
)
async def test_an_update_for_a_round_that_is_not_the_nodes_own_is_refused(
    served: Served, pair: list[RawNode], wrong: dict[str, Any], code: str, tool: str
) -> None:
    async with refused(served, code):
        await getattr(pair[0], tool)(packed(), **wrong)


@pytest.mark.parametrize("upload_id", ["up-" + "a" * 24, "up-" + "2" * 24])
async def test_an_upload_that_was_never_begun_is_refused(served: Served, pair: list[RawNode], upload_id: str) -> None:
    async with refused(served, "not_found", says=upload_id):
        await pair[0].submit(packed(), upload_id)
    async with refused(served, "not_found", says=upload_id):
        await pair[0].chunk(upload_id, 0, b"x")


@pytest.mark.parametrize(
    "upload_id", ["../../etc/passwd", "up-" + "a" * 23, "up-" + "a" * 24 + "\n", "", "/etc/passwd"]
)
async def test_a_path_in_place_of_an_upload_id_is_refused(served: Served, pair: list[RawNode], upload_id: str) -> None:
    async with refused(served, "invalid_argument", says="upload_id"):
        await pair[0].submit(packed(), upload_id)
    async with refused(served, "invalid_argument", says="upload_id"):
        await pair[0].chunk(upload_id, 0, b"x")


@pytest.mark.parametrize("lane", ["raw", "chunks", "inline"])
async def test_an_update_submitted_twice_counts_once_and_has_one_receipt(served: Served, lane: str) -> None:
    one, _ = await cohort(served)
    data = packed(value=0.1)
    first = await one.deliver(data, lane=lane)
    before = await served.snapshot()
    upload_id = (await one.begin(data))["upload_id"]
    for again in (one.submit_inline(data), one.submit(data, upload_id)):
        assert (await again)["receipt"] == first["receipt"]
    assert await served.snapshot() == before
    assert (await served.state_of(one.task_id))["rounds"][0]["submitted"] == 1


async def test_the_same_update_at_once_from_two_connections_counts_once(served: Served) -> None:
    one, _ = await cohort(served)
    data = packed(value=0.1)
    answers = await asyncio.gather(*(one.submit_inline(data) for _ in range(4)))
    assert all(answer["receipt"] == answers[0]["receipt"] for answer in answers)
    rows = (await served.snapshot()).tables["updates"]
    assert len([row for row in rows if one.task_id in row]) == 1


@pytest.mark.parametrize("changes", [{"num_examples": 101}, {"num_steps": 11}], ids=str)
async def test_a_second_update_with_other_counts_is_refused(served: Served, changes: dict[str, int]) -> None:
    one, _ = await cohort(served)
    data = packed(value=0.1)
    await one.submit_inline(data)
    async with refused(served, "already_submitted"):
        await one.submit_inline(data, **changes)


async def test_a_second_update_with_other_bytes_is_refused(served: Served) -> None:
    one, _ = await cohort(served)
    data, other = packed(value=0.1), packed(value=0.2)
    await one.deliver(data)
    async with refused(served, "already_submitted"):
        await one.begin(other)
    async with refused(served, "already_submitted"):
        await one.submit_inline(other)


async def test_of_two_different_updates_at_once_one_is_refused_as_the_second(served: Served) -> None:
    for _ in range(3):
        one, _ = await cohort(served)
        answers = await asyncio.gather(
            one.submit_inline(packed(value=1.0)), one.submit_inline(packed(value=2.0)), return_exceptions=True
        )
        (no,) = [answer for answer in answers if isinstance(answer, Refusal)]
        assert no.code == "already_submitted"


async def test_a_refused_twin_does_not_take_the_bytes_of_an_accepted_update_along(served: Served) -> None:
    for number in range(5):
        (node,) = await cohort(served, 1)
        data = packed(value=number + 0.25)
        begun = await node.begin(data)
        await node.put(begun["url"], data)
        answers = await asyncio.gather(
            node.submit(data, begun["upload_id"]),
            node.submit(data, begun["upload_id"], signature="AAAA"),
            return_exceptions=True,
        )
        await served.close_due_rounds()
        state = await served.state_of(node.task_id)
        accepted = [answer for answer in answers if isinstance(answer, dict)]
        assert (len(accepted), state["state"], state["rounds"][0]["state"]) == (1, "running", "closed")


@pytest.mark.parametrize("tool", ["begin", "submit_inline"])
async def test_an_update_for_a_closed_round_is_refused(served: Served, tool: str) -> None:
    one, other = await cohort(served)
    await one.submit_inline(packed(value=0.1))
    with served.clock.later(601):
        await served.close_due_rounds()
        async with refused(served, "round_closed"):
            await getattr(other, tool)(packed(value=0.2))
        assert (await one.submit_inline(packed(value=0.1)))["receipt"]["round"] == 1


@pytest.mark.parametrize("tool", ["begin", "submit_inline"])
async def test_an_update_for_a_cancelled_task_is_refused(served: Served, tool: str) -> None:
    one, _ = await cohort(served)
    await served.federation.tasks.control(one.task_id, "cancel", version=None, actor="test")
    async with refused(served, "round_closed", says="void"):
        await getattr(one, tool)(packed())


async def test_the_bytes_of_an_upload_that_was_never_committed_are_freed_with_its_round(served: Served) -> None:
    one, other = await cohort(served)
    left = packed(value=77.0)
    await one.put((await one.begin(left))["url"], left)
    for node in (one, other):
        await node.submit_inline(packed(value=0.3))
    await served.close_due_rounds()
    assert not served.federation.shared.spool.has(sha256(left))


async def test_one_node_cannot_fill_the_disk_with_uploads_for_one_round(served: Served) -> None:
    one, _ = await cohort(served)

    async def flood() -> None:
        for number in range(20):
            data = packed(value=number + 100.0)
            await one.put((await one.begin(data))["url"], data)

    with pytest.raises(Refusal):
        await flood()
