"""Makes the task, and invites nodes to it: once, however often the agent is killed meanwhile."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from federation.errors import ErrorCode, Refused
from federation.rounds import nodes_needed
from federation.spec import CohortSpec
from orchestrator.diagnosis.names import plain
from potluck.agent.local_nodes import LocalNodes
from potluck.agent.person import Person
from potluck.agent.planning import cost
from potluck.agent.server import Server, View
from potluck.agent.state import State, Store
from potluck.agent.wish import Wish


async def make(server: Server, person: Person, state: State, store: Store, spec: Mapping[str, Any]) -> bool:
    """Makes the task of this generation, if it is not made yet; False when the person does not want it.

    What was agreed on is on disk before the call, and the request_id follows from it.
    """
    if state.task_id:
        return True
    if state.nodes and spec["data"]["id"] == "own" and not state.simulate:
        problem = "this task's nodes bring their own data, and those of --nodes have none."
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "leave --nodes out, and start `potluck join … --data PATH`")
    agreed = f"make-{state.generation}"
    tool = "run_simulation" if state.simulate else "create_task"
    attack = _attack(state)
    if agreed not in state.agreed:
        budget = (state.plan or {}).get("budget")
        costs = f" It takes {cost(dict(spec), budget, simulate=state.simulate)}." if budget else ""
        name = plain(str(spec["name"]), 80)
        how = " ".join([tool, *(f"{key}={value}" for key, value in attack.items())])
        if not await person.ask(f"May I make the task {name!r} on {server.url} ({how})?{costs}"):
            return False
        state.agreed.append(agreed)
        store.save(state)
    made = await server.call(tool, spec=dict(spec), request_id=state.request_id("task"), **attack)
    state.task_id, state.told, state.said = str(made["task_id"]), 0, []
    store.save(state)
    person.does(f"{tool}: {state.task_id}" + ("" if made["new"] else " (it had been made before)"))
    return True


def _attack(state: State) -> dict[str, Any]:
    """Who attacks in a simulation, as the plan has it; of nodes nobody can say."""
    wish = (state.plan or {}).get("simulation") if state.simulate else None
    if not wish or not wish.get("attack"):
        return {}
    return {"attack": str(wish["attack"]), "attackers": float(wish.get("attackers") or 0.0)}


async def invite(
    server: Server, person: Person, state: State, store: Store, wish: Wish, nodes: LocalNodes, task: View
) -> None:
    """A token for the task's nodes, their join line, and this machine's own nodes."""
    if state.simulate or task["state"] in ("finished", "cancelled"):
        return
    waited_for = nodes_needed(CohortSpec.model_validate(task["spec"]["cohort"]))
    if nodes.count and nodes.count < waited_for:
        person.say(
            f"note: a round waits for {waited_for} nodes, and {nodes.count} are started here: others have to join"
        )
    needed = state.places or max(waited_for, nodes.count)
    if "handshake" in server.tools:  # whoever calls may be a node here
        _say_join(person, server, state.task_id, None)
        await nodes.start(server, person, state.task_id, None)
        return
    agreed = f"invite-{state.generation}"
    if f"no-{agreed}" in state.agreed:
        return
    if agreed not in state.agreed:
        granted = await person.ask(f"May I issue a token with which {needed} nodes can join (issue_token)?")
        state.agreed.append(agreed if granted else f"no-{agreed}")
        state.places = needed
        store.save(state)
        if not granted:
            person.say("no token is issued; nodes that have one can join:")
            _say_join(person, server, state.task_id, "NODE_TOKEN")
            return
    wanted = {"role": "node", "label": f"agent: {plain(state.goal, 60)}", "max_nodes": needed}
    wanted |= {"request_id": state.request_id("nodes")}
    issued = await server.call("issue_token", **wanted)
    person.does(f"issue_token: {issued['token_id']}, for {needed} nodes")
    if nodes.count < needed:
        _say_how_to_join(person, server, state.task_id, issued, wanted, qr=wish.qr)
    await nodes.start(server, person, state.task_id, str(issued["token"]))


def _say_how_to_join(
    person: Person, server: Server, task_id: str, issued: View, wanted: Mapping[str, Any], *, qr: bool
) -> None:
    """The join line and the link. A token goes to a terminal and never unasked into a log."""
    if not person.sees_secrets:
        _say_join(person, server, task_id, "NODE_TOKEN")
        words = " ".join(shlex.quote(f"{name}={value}") for name, value in wanted.items())
        person.say(
            f"its token is not written to a file; this shows it:\n  potluck call {server.url} issue_token {words}"
        )
        return
    _say_join(person, server, task_id, str(issued["token"]))
    link = f"{server.url}/{issued['link']}"
    person.say(f"in a browser tab, or on a phone:\n  {link}")
    if qr:
        import segno

        segno.make_qr(link, error="l").terminal(compact=True)


def _say_join(person: Person, server: Server, task_id: str, token: str | None) -> None:
    with_token = "" if token is None else f" --token {token}"
    person.say(f"on each machine that takes part:\n  potluck join {server.url} --task {task_id}{with_token}")
