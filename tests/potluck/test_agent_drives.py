"""The agent against a real server, in one process; its person answers, its nodes train."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_client.node import Node
from federation.errors import ErrorCode, Refused
from potluck.agent import local_nodes
from potluck.agent.local_nodes import LocalNodes, TiedChildren
from potluck.agent.person import Unanswered
from potluck.agent.run import drive
from potluck.agent.state import State
from potluck.agent.wish import Exit
from potluck.call import parse_arguments
from potluck.processes import Died
from tests.mcp_server.raw_node import enrolled, packed, zeros
from tests.mcp_server.running import Served, serving
from tests.potluck.agents import SPEC, Answers, Kept, agent_on, deliver, wish

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    """A server that closes its rounds by itself."""
    async with serving(tmp_path_factory.mktemp("served"), clockwork=True) as running:
        yield running


async def train(served: Served, task_id: str, folder: Path, count: int = 2) -> None:
    """Nodes work on the task until it is over."""
    token = (await served.token("node")).secret
    nodes = [Node(served.base, task_id, token=token, key=folder / f"{n}.pem") for n in range(count)]
    await asyncio.gather(*(node.run() for node in nodes))


async def made(served: Served) -> set[str]:
    """The tasks that there are."""
    return {task["task_id"] for task in await served.federation.views.tasks()}


async def trained(served: Served, store: Kept, state: State, folder: Path) -> None:
    """Nodes join the agent's task as soon as there is one."""
    await train(served, await store.task_of(state), folder)


async def test_it_asks_before_it_makes_and_invites_and_reports_what_the_server_says(
    served: Served, tmp_path: Path
) -> None:
    async with agent_on(served, tmp_path) as run:
        person = Answers(True, True)
        working = asyncio.create_task(trained(served, run.store, run.state, tmp_path))
        code = await drive(run.server, person, run.state, run.store, wish(served), run.nodes)
        await working
        task = await served.state_of(run.state.task_id)
    assert (code, task["state"]) == (Exit.DONE, "finished")
    assert [question.split(" (")[0] for question in person.asked] == [
        f"May I make the task 'digits for the agent' on {served.base}",
        "May I issue a token with which 2 nodes can join",
    ]
    for each in task["rounds"]:
        line = f"round {each['round']} of 2: accuracy {each['accuracy']:.3f}, loss {each['loss']:.4f}, 2 of 2 updates"
        assert line in person.said
    summary = next(text for text in person.told if "## `digits for the agent`" in text)
    assert f"{task['rounds'][-1]['loss']:.4f}" in summary
    assert person.told[-1].endswith(f"{run.state.task_id} OUT --version {task['best']['version']}")
    assert [tool for tool, _ in run.server.called if tool not in ("get_task", "list_tasks")] == [
        *("plan_task", "validate_task", "create_task", "issue_token", "evaluate_model", "summarize_training")
    ]
    token = next(text for text in person.told if "potluck join" in text).split()[-1]
    assert token not in run.store.path.read_text()
    assert run.again().finished


async def test_a_log_gets_no_token_but_the_line_that_shows_it(served: Served, tmp_path: Path) -> None:
    async with agent_on(served, tmp_path, SPEC | {"rounds": 1}, goal="it's digits") as run:
        person = Answers(True, True, sees_secrets=False)
        working = asyncio.create_task(trained(served, run.store, run.state, tmp_path))
        await drive(run.server, person, run.state, run.store, wish(served), run.nodes)
        await working
        assert "pl_" not in person.said
        line = next(row for text in person.told for row in text.splitlines() if "potluck call" in row)
        words = shlex.split(line)
        assert words[:4] == ["potluck", "call", served.base, "issue_token"]
        before = (await served.snapshot()).rows()["tokens"]
        again = await run.server.call("issue_token", **parse_arguments(words[4:]))
        assert again["token"].startswith("pl_")
        assert (await served.snapshot()).rows()["tokens"] == before, "it is the very token"


async def test_a_no_makes_nothing(served: Served, tmp_path: Path) -> None:
    before = await made(served)
    async with agent_on(served, tmp_path) as run:
        assert await drive(run.server, Answers(False), run.state, run.store, wish(served), run.nodes) == Exit.DECLINED
    assert await made(served) == before


async def test_a_question_without_an_answer_makes_nothing_and_can_be_asked_again(
    served: Served, tmp_path: Path
) -> None:
    before = await made(served)
    async with agent_on(served, tmp_path) as run:
        for person in (Answers(), Answers()):
            with pytest.raises(Unanswered, match="May I make the task"):
                await drive(run.server, person, run.again(), run.store, wish(served), run.nodes)
        assert [tool for tool, _ in run.server.called].count("plan_task") == 1, "the plan is kept"
    assert await made(served) == before


async def test_a_dry_run_plans_and_asks_nothing(served: Served, tmp_path: Path) -> None:
    before = await made(served)
    async with agent_on(served, tmp_path) as run:
        person = Answers()
        code = await drive(run.server, person, run.state, run.store, wish(served, dry_run=True), run.nodes)
    assert (code, person.asked) == (Exit.DONE, [])
    assert "rounds: 2" in person.said
    assert "that many were asked for" in person.said
    assert "note: no wish was left out" in person.said
    assert "for a node and round, 2 rounds" in person.said
    assert await made(served) == before


async def test_a_plan_that_is_not_valid_is_made_again_with_its_problems_and_at_last_refused(
    served: Served, tmp_path: Path
) -> None:
    wrong = SPEC | {"rounds": 0}
    async with agent_on(served, tmp_path / "mends", wrong, SPEC) as run:
        code = await drive(run.server, Answers(), run.state, run.store, wish(served, dry_run=True), run.nodes)
        plans = [arguments for tool, arguments in run.server.called if tool == "plan_task"]
    assert code == Exit.DONE
    assert plans[1]["spec"] == wrong
    assert "rounds: " in plans[1]["goal"]
    async with agent_on(served, tmp_path / "never", wrong) as run:
        with pytest.raises(Refused, match="no plan could be made valid: rounds"):
            await drive(run.server, Answers(), run.state, run.store, wish(served), run.nodes)
        assert [tool for tool, _ in run.server.called].count("plan_task") == 3


async def test_a_viewer_is_told_whose_token_it_takes(served: Served, tmp_path: Path) -> None:
    async with agent_on(served, tmp_path, role="viewer") as run:
        with pytest.raises(Refused, match="may not make tasks here"):
            await drive(run.server, Answers(), run.state, run.store, wish(served), run.nodes)


@pytest.mark.parametrize("lost", ["create_task", "issue_token"])
async def test_an_agent_that_dies_after_a_call_and_is_resumed_makes_nothing_twice(
    served: Served, tmp_path: Path, lost: str
) -> None:
    before = await made(served)
    async with agent_on(served, tmp_path) as run:
        call = run.server.call

        async def dies(tool: str, **arguments: Any) -> dict[str, Any]:
            answer = await call(tool, **arguments)
            if tool == lost:
                raise KeyboardInterrupt  # the answer is never read
            return answer

        run.server.call = dies  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            await drive(run.server, Answers(True, True), run.state, run.store, wish(served), run.nodes)
        run.server.call = call  # type: ignore[method-assign]
        tokens = (await served.snapshot()).rows()["tokens"]

        state, person = run.again(), Answers(*([True] if lost == "create_task" else []))
        working = asyncio.create_task(trained(served, run.store, state, tmp_path))
        assert await drive(run.server, person, state, run.store, wish(served), run.nodes) == Exit.DONE
        await working
        assert len(await made(served) - before) == 1
        wanted = tokens + (1 if lost == "create_task" else 0) + 1  # one of this test's own nodes
        assert (await served.snapshot()).rows()["tokens"] == wanted


async def test_what_diverges_to_its_end_gets_a_slower_successor_that_is_asked_for_and_made_once(
    served: Served, tmp_path: Path
) -> None:
    before = await made(served)
    ends = SPEC | {"cohort": {"size": 1}, "rounds": 5, "stopping": {"on_divergence": "stop"}}
    wild = packed(zeros() | {"delta/output.bias": torch.tensor([100.0, *[0.0] * 9])})
    async with agent_on(served, tmp_path, ends) as run:
        person = Answers(True, True, True, True)

        async def work() -> None:
            seen = ""
            for updates in ([packed(), wild, wild, wild], [packed()] * 5):
                seen = await run.store.task_of(run.state, but=seen)
                await deliver(await enrolled(served), seen, updates)

        working = asyncio.create_task(work())
        assert await drive(run.server, person, run.state, run.store, wish(served), run.nodes) == Exit.DONE
        await working
    new = [each for each in await served.federation.views.tasks() if each["task_id"] not in before]
    assert [(each["name"], each["state"]) for each in new] == [
        ("digits for the agent (slower)", "finished"),
        ("digits for the agent", "finished"),
    ]
    assert [question.partition(" (")[0] for question in person.asked] == [
        f"May I make the task 'digits for the agent' on {served.base}",
        "May I issue a token with which 1 nodes can join",
        "May I make a successor with training.learning_rate 0.0167 in place of 0.05? ",
        "May I issue a token with which 1 nodes can join",
    ]
    assert run.again().former == [new[1]["task_id"]]


@pytest.mark.parametrize(
    ("wish_for", "wanted"),
    [
        ({"attack": "gaussian", "attackers": 0.25}, {"attack": "gaussian", "attackers": 0.25}),
        ({"attack": None, "attackers": 0}, {}),
        (None, {}),
    ],
)
async def test_who_attacks_in_a_planned_simulation_is_shown_and_passed_on(
    served: Served, tmp_path: Path, wish_for: Any, wanted: dict[str, Any]
) -> None:
    async with agent_on(served, tmp_path) as run:
        run.server.more = {"simulate": True, "simulation": wish_for}
        with pytest.raises(Unanswered) as question:
            await drive(run.server, Answers(), run.state, run.store, wish(served), run.nodes)
        assert ("run_simulation attack=gaussian attackers=0.25)" in str(question.value)) is bool(wanted)
        given: dict[str, Any] = {}
        real = run.server.call

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            if tool == "run_simulation":
                given.update(arguments)
                raise Refused(ErrorCode.BUSY, "seen.", "no more")
            return await real(tool, **arguments)

        run.server.call = call  # type: ignore[method-assign]
        with pytest.raises(Refused, match="seen"):
            await drive(run.server, Answers(True), run.again(), run.store, wish(served), run.nodes)
    assert {name: value for name, value in given.items() if name not in ("spec", "request_id")} == wanted


async def test_where_everybody_may_do_everything_nodes_need_no_token(tmp_path: Path) -> None:
    async with serving(tmp_path / "open", clockwork=True, open=True) as free, agent_on(free, tmp_path) as run:
        person = Answers(True)
        working = asyncio.create_task(trained(free, run.store, run.state, tmp_path))
        assert await drive(run.server, person, run.state, run.store, wish(free), run.nodes) == Exit.DONE
        await working
        assert any(text.endswith(f"potluck join {free.base} --task {run.state.task_id}") for text in person.told)
    assert "issue_token" not in [tool for tool, _ in run.server.called]


async def test_nodes_of_this_machine_are_not_started_for_a_task_of_own_data(served: Served, tmp_path: Path) -> None:
    before = await made(served)
    own = SPEC | {"data": {"id": "own", "input_shape": [64], "num_classes": 10}}
    async with agent_on(served, tmp_path, own) as run:
        run.state.nodes = 2
        with pytest.raises(Refused, match="leave --nodes out"):
            await drive(run.server, Answers(True), run.state, run.store, wish(served), run.nodes)
    assert await made(served) == before


async def test_nodes_that_fail_are_told_of_and_when_all_have_there_is_no_use_in_waiting(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_nodes, "GUARD_S", 0.01)
    codes: list[dict[str, int | None]] = [{"a": None, "b": None}, {"a": 1, "b": None}, {"a": 1, "b": 2}]
    with TiedChildren(tmp_path / "logs") as children:
        monkeypatch.setattr(children, "codes", lambda: codes.pop(0))
        person = Answers()
        with pytest.raises(Died, match="all nodes of this machine"):
            await LocalNodes(tmp_path, children, 2, wish(served)).guard(person)
    assert [text.split("; ")[0] for text in person.told] == [
        "a node of this machine ended with exit code 1",
        "a node of this machine ended with exit code 2",
    ]


async def test_what_others_have_chosen_cannot_steer_the_terminal(served: Served, tmp_path: Path) -> None:
    await served.task(name="red \x9b31m \u202etrela")
    async with agent_on(served, tmp_path) as run:
        person = Answers()
        await drive(run.server, person, run.state, run.store, wish(served, dry_run=True), run.nodes)
    assert "red 31m trela" in person.said
    assert not {"\x9b", "\u202e"} & set(person.said)
