"""The journal tells an operator who was refused what, and by whose hand things changed; it cannot be flooded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from federation.coordinator.federation import open_federation
from federation.store.audit import CALLED, REFUSED, Audit, Call
from federation.store.database import Database
from federation.store.tables import events
from resources.workload import Workload
from tests.mcp_server.raw_node import cohort, enrolled, packed
from tests.mcp_server.rpc import ProtocolError, Refusal, Rpc
from tests.mcp_server.running import SPEC, Served, StoppedClock, serving

pytestmark = pytest.mark.anyio
FORBIDDEN = Call("token", "viewer", "192.0.2.1", "create_task", "forbidden")


async def journal(database: Database, *kinds: str) -> list[dict[str, Any]]:
    async with database.read() as connection:
        rows = await connection.execute(select(events).order_by(events.c.event_id))
        return [dict(row) for row in rows.mappings() if not kinds or row["kind"] in kinds]


async def noted(served: Served) -> list[tuple[str, str, str, str]]:
    """Actor, role, tool and code of the refusals, as an operator reads them."""
    rows = await (await served.operator()).read("potluck://audit")
    found = [(row["actor"], row["detail"]) for row in rows if row["kind"] == REFUSED]
    return [(actor, detail["role"], detail["tool"], detail["code"]) for actor, detail in found]


async def refusal_of(rpc: Rpc, tool: str, **arguments: Any) -> None:
    with pytest.raises(Refusal):
        await rpc.call(tool, **arguments)


async def test_a_refused_call_names_the_caller_the_tool_and_the_code(served: Served) -> None:
    token = await served.token("viewer")
    await refusal_of(served.rpc(token.secret), "create_task", spec=SPEC, request_id="audit-000001")
    assert (token.token_id, "viewer", "create_task", "forbidden") in await noted(served)


async def test_refusals_of_every_kind_are_noted(served: Served) -> None:
    token = await served.token("node")
    rpc = served.rpc(token.secret)
    for bad in ("potluck://nodes", "potluck://models/unheard-of-secret"):
        with pytest.raises(ProtocolError):
            await rpc.read(bad)
    await refusal_of(served.rpc(), "no_such_tool_secret")
    await served.http.put("/raw/uploads/forged-secret", content=b"x")
    await served.http.get("/metrics", headers={"Authorization": "Bearer pl_guess_secret"})
    await served.http.get("/healthz", headers={"Host": "evil-secret.example"})
    found = await noted(served)
    assert (token.token_id, "node", "resources/read", "forbidden") in found
    assert (token.token_id, "node", "resources/read", "not_found") in found
    assert ("anonymous", "viewer", "unknown", "not_found") in found
    assert ("anonymous", "viewer", "raw/uploads", "bad_signature") in found
    assert ("nobody", "", "metrics", "unauthorized") in found
    assert ("nobody", "", "healthz", "forbidden") in found
    assert "secret" not in str(await journal(served.federation.shared.database)), "what callers wrote is not kept"


async def test_repeats_within_a_minute_are_one_row_with_a_count(served: Served) -> None:
    token = await served.token("viewer")
    for _ in range(7):
        await refusal_of(served.rpc(token.secret), "issue_token", request_id="audit-000002")
        await noted(served)
    with served.clock.later(60):
        await refusal_of(served.rpc(token.secret), "issue_token", request_id="audit-000002")
        await noted(served)
    rows = [row for row in await journal(served.federation.shared.database, REFUSED) if row["actor"] == token.token_id]
    assert [row["detail"]["count"] for row in rows] == [7, 1]
    assert rows[0]["detail"]["until"] >= rows[0]["at"]


async def test_a_change_by_an_operator_says_by_which_tool_and_from_where(served: Served) -> None:
    token = await served.token("operator")
    made = await served.rpc(token.secret).call("create_task", spec=SPEC, request_id=served.fresh())
    issued = await served.rpc(token.secret).call("issue_token", role="viewer", request_id=served.fresh())
    rows = [row for row in await journal(served.federation.shared.database) if row["actor"] == token.token_id]
    by = {"role": "operator", "address": "127.0.0.1"}
    assert [(row["kind"], row["detail"]["by"]) for row in rows if row["kind"] in ("task_created", "token_issued")] == [
        ("task_created", by | {"tool": "create_task"}),
        ("token_issued", by | {"tool": "issue_token"}),
    ]
    assert rows[0]["task_id"] == made["task_id"]
    assert issued["token"] not in str(rows)


async def test_an_operators_call_that_changes_nothing_is_noted_too(served: Served) -> None:
    token = await served.token("operator")
    rpc = served.rpc(token.secret)
    task_id = await served.task()
    await rpc.call("export_model", task_id=task_id)
    await rpc.call("evaluate_model", task_id=task_id)
    await rpc.call("list_tasks")
    await rpc.read("potluck://audit")
    rows = [row for row in await journal(served.federation.shared.database, CALLED) if row["actor"] == token.token_id]
    assert [row["detail"]["tool"] for row in rows] == ["export_model", "evaluate_model"]


@pytest.mark.parametrize("role", ["viewer", "node", None])
async def test_only_operators_read_the_journal(served: Served, role: str | None) -> None:
    secret = None if role is None else (await served.token(role)).secret
    with pytest.raises(ProtocolError, match="for the role operator"):
        await served.rpc(secret).read("potluck://audit")


async def test_the_journal_carries_no_node_token_and_no_signed_url(served: Served) -> None:
    node, _ = await cohort(served)
    begun = await node.begin(packed(value=3.5))
    await node.submit_inline(packed(value=4.5), metrics={"train_loss": 0.123456789})
    await refusal_of(
        node.rpc, "get_assignment", node_id=node.node_id, node_token="x" + node.node_token, task_id="task-x"
    )
    await noted(served)
    text = str(await journal(served.federation.shared.database))
    for secret in (node.node_token, begun["url"].rpartition("/")[2], node.rpc.headers["Authorization"].split()[1]):
        assert secret not in text


async def test_refusals_are_written_when_the_server_stops(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await refusal_of(served.rpc(), "issue_token", request_id="audit-000003")
    async with open_federation(tmp_path, Workload(), clockwork=False) as federation:
        (row,) = await journal(federation.shared.database, REFUSED)
        assert (row["actor"], row["detail"]["tool"], row["detail"]["count"]) == ("anonymous", "issue_token", 1)


async def test_a_flood_of_callers_shares_a_row(served: Served) -> None:
    database, clock = served.federation.shared.database, StoppedClock()
    audit = Audit(database, clock, most_rows=100_000, days=30)
    before = len(await journal(database, REFUSED))
    for number in range(5_000):
        audit.note(Call("nobody", "", f"192.0.{number // 256}.{number % 256}", "metrics", "unauthorized"))
    await audit.flush()
    rows = (await journal(database, REFUSED))[before:]
    assert len(rows) == 501
    assert (rows[-1]["actor"], rows[-1]["detail"]["count"]) == ("others", 4_500)


async def test_old_refusals_go_and_what_happened_stays(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await enrolled(served)
        database, clock = served.federation.shared.database, StoppedClock()
        kept = [row for row in await journal(database) if row["kind"] not in (REFUSED, CALLED)]
        audit = Audit(database, clock, most_rows=1_500, days=1)
        for _ in range(6):
            clock.now += 60
            for number in range(500):
                audit.note(Call(str(number), "viewer", "", "issue_token", "forbidden"))
            await audit.flush()
        assert len(await journal(database, REFUSED)) <= 1_500 + 1_000
        clock.now += 2 * 86_400
        fresh = Audit(database, clock, most_rows=1_500, days=1)
        fresh.note(FORBIDDEN)
        await fresh.flush()
        assert [row["at"] for row in await journal(database, REFUSED)] == [clock.now]
        assert [row for row in await journal(database) if row["kind"] not in (REFUSED, CALLED)] == kept


async def test_what_cannot_be_written_now_is_written_later(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    database = served.federation.shared.database
    audit = Audit(database, StoppedClock(), most_rows=1_000, days=1)
    call = Call("patient", "viewer", "", "issue_token", "forbidden")
    audit.note(call)

    async def busy(*_: Any, **__: Any) -> Any:
        raise OSError("the disk is away")

    with monkeypatch.context() as broken:
        broken.setattr(database, "write", busy)
        with pytest.raises(OSError, match="away"):
            await audit.flush()
    audit.note(call)
    await audit.flush()
    (row,) = [row for row in await journal(database, REFUSED) if row["actor"] == "patient"]
    assert row["detail"]["count"] == 2


def test_noting_a_million_calls_takes_no_more_memory_than_a_minute_of_rows() -> None:
    clock = StoppedClock()
    audit = Audit(None, clock, most_rows=1_000, days=1)  # type: ignore[arg-type]  # nothing is written here
    for minute in range(50):
        clock.now += 60
        for number in range(600):
            audit.note(Call(f"{minute} {number}", "", "", "metrics", "unauthorized"))
    assert len(audit._rows) <= 4 * 500 + 501
