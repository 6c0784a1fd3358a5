"""What tests of the agent share: a person whose answers are known, and a server that plans what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from potluck.agent.local_nodes import LocalNodes, TiedChildren
from potluck.agent.person import Person
from potluck.agent.server import Server
from potluck.agent.state import State, Store
from potluck.agent.wish import Wish
from tests.mcp_server.raw_node import RawNode
from tests.mcp_server.rpc import Refusal
from tests.mcp_server.running import Served

SPEC: dict[str, Any] = {
    "name": "digits for the agent",
    "model": {"id": "logistic"},
    "data": {"id": "digits", "partition": {"parts": 4}},
    "cohort": {"size": 2},
    "rounds": 2,
}


class Answers(Person):
    """Answers in their order, then none; keeps what was asked and said."""

    def __init__(
        self, *answers: bool, yes: bool = False, sees_secrets: bool = True, most_questions: int | None = None
    ) -> None:
        self.asked: list[str] = []
        self.told: list[str] = []
        self._answers = list(answers)
        super().__init__(
            yes=yes, terminal=True, line=self._next, sees_secrets=sees_secrets, most_questions=most_questions
        )

    async def _next(self) -> str:
        return ("y\n" if self._answers.pop(0) else "n\n") if self._answers else ""

    async def ask(self, question: str) -> bool:
        self.asked.append(question)
        return await super().ask(question)

    def say(self, text: str = "") -> None:
        self.told.append(text)
        super().say(text)

    @property
    def said(self) -> str:
        """Everything."""
        return "\n".join(self.told)


class Planner(Server):
    """The server as it is, but for plan_task, which answers what a test has written; calls are kept."""

    def __init__(self, connection: Connection, url: str, *plans: dict[str, Any]) -> None:
        super().__init__(connection, url)
        self._plans = list(plans)
        self.called: list[tuple[str, dict[str, Any]]] = []
        self.more: dict[str, Any] = {}  # of a plan

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        self.called.append((tool, arguments))
        if tool == "plan_task":
            spec = self._plans.pop(0) if len(self._plans) > 1 else self._plans[0]
            reason = {"field": "rounds", "value": spec.get("rounds"), "why": "that many were asked for"}
            return {"spec": spec, "reasons": [reason], "notes": ["no wish was left out"], "planner": "rules"} | (
                self.more
            )
        return await super().call(tool, **arguments)

    async def look_around(self) -> None:
        await super().look_around()
        self.tools.setdefault("plan_task", self.tools["get_task"])


class Kept(Store):
    """A file whose changes a test can wait for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._changed = asyncio.Event()

    def save(self, state: State) -> None:
        super().save(state)
        self._changed.set()

    async def task_of(self, state: State, *, but: str = "") -> str:
        """The state's task, once it has one, or another one."""
        while state.task_id in ("", but):
            self._changed.clear()
            await self._changed.wait()
        return state.task_id


class Run:
    """One run of the agent on a server, with everything that it holds."""

    def __init__(self, server: Planner, state: State, store: Kept, nodes: LocalNodes) -> None:
        self.server, self.state, self.store, self.nodes = server, state, store, nodes

    def again(self) -> State:
        """What the next process would find."""
        found = self.store.load()
        assert found is not None
        return found


@asynccontextmanager
async def agent_on(
    served: Served, folder: Path, *plans: dict[str, Any], goal: str = "digits on 2 phones", role: str = "operator"
) -> AsyncGenerator[Run]:
    """An agent's parts, with a token of this role."""
    endpoint, store = Endpoint(served.base, token=(await served.token(role)).secret), Kept(folder / "run.json")
    async with Connection(endpoint, patience_s=5) as connection:
        server = Planner(connection, endpoint.url, *(plans or (SPEC,)))
        await server.look_around()
        state = State(endpoint.url, goal)
        with store.held(), TiedChildren(folder / "nodes") as children:
            store.save(state)
            yield Run(server, state, store, LocalNodes(folder / "nodes", children, 0, wish(served)))


def wish(served: Served, **changes: Any) -> Wish:
    """What is asked for."""
    return Wish(**({"url": served.base, "goal": "digits on 2 phones"} | changes))


async def deliver(node: RawNode, task_id: str, updates: Sequence[bytes]) -> None:
    """The node's updates, one a round, as long as it is asked for them."""
    for update in updates:
        while (await node.join(task_id, wait_s=5))["action"] != "train":
            if node.assignment["action"] == "finished":
                return
        try:
            await node.submit_inline(update)
        except Refusal as refusal:
            if refusal.code not in ("upload_gone", "round_closed"):
                raise
            return  # the agent has ended the round meanwhile
