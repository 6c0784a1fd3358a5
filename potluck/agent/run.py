"""`potluck agent`: from a goal in plain words to a trained model and a report, through the public tools alone."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from federation.errors import ErrorCode, Refused
from potluck.agent.following import Follower
from potluck.agent.local_nodes import LocalNodes, TiedChildren
from potluck.agent.making import invite, make
from potluck.agent.person import Person, Unanswered
from potluck.agent.planning import discover, plan, show
from potluck.agent.reporting import report
from potluck.agent.server import Server
from potluck.agent.state import State, Store, file_of, latest_of
from potluck.agent.wish import Exit, Wish
from potluck.client import quiet
from potluck.processes import Died

PATIENCE_S = 60.0
"""How long a server that is lost is waited for, in seconds of pauses."""


def run(endpoint: Endpoint, wish: Wish) -> int:
    """The command; its exit code. Ctrl-C leaves the federation running, and says how to go on."""
    quiet()
    path = _state_file(endpoint, wish)
    store = Store(path)
    person = Person(yes=wish.yes, most_questions=wish.most_questions)
    with store.held():
        state = _begin(store, endpoint, wish)
        try:
            return _interruptible(endpoint, wish, state, store, person)
        except Unanswered as question:
            print(f"? {question}", flush=True)
            print("nobody is there to answer; pass --yes, or answer at a terminal.", file=sys.stderr)
            _say_resume(endpoint, path, state)
            return Exit.UNANSWERED
        except Died as error:
            print(f"error: {error}", file=sys.stderr)
            _say_resume(endpoint, path, state)
            return Exit.FAILED
        except (Refused, ConnectionError):
            if _begun(state):
                _say_resume(endpoint, path, state)
            raise


async def drive(server: Server, person: Person, state: State, store: Store, wish: Wish, nodes: LocalNodes) -> int:
    """Every step, from where the state stands; the exit code."""
    await discover(server, person)
    if wish.llm:
        from potluck.agent.steering import steer

        return await steer(server, person, state, store, wish, nodes)
    if state.plan is None and not state.task_id:
        found = await plan(server, person, state.goal)
        state.plan, state.simulate = found, wish.simulate or (bool(found.get("simulate")) and not state.nodes)
        store.save(state)
    if state.plan is not None and not state.task_id:
        show(person, state.plan, simulate=state.simulate)
    if wish.dry_run:
        person.say("\nnothing was made (--dry-run).")
        return Exit.DONE
    return await train(server, person, state, store, wish, nodes)


async def train(server: Server, person: Person, state: State, store: Store, wish: Wish, nodes: LocalNodes) -> int:
    """Makes the planned task, unless there is one already, and sees it and its successors to the end."""
    while True:
        planned = state.plan is not None
        if state.plan is not None and not await make(server, person, state, store, state.plan["spec"]):
            person.say("then not; nothing was made.")
            return Exit.DECLINED
        task = await server.call("get_task", task_id=state.task_id)
        if planned:  # a language model that made its task has invited to it as well
            await invite(server, person, state, store, wish, nodes, task)
        task, successor = await Follower(server, person, state, store).to_the_end()
        if successor is None or successor.successor is None:
            break
        state.former.append(state.task_id)
        state.generation += 1
        state.agreed.append(f"make-{state.generation}")  # the question was this very task
        state.plan = (state.plan or {}) | {"spec": dict(successor.successor), "budget": None}
        state.plan["simulation"] = task["simulation"]
        state.task_id, state.places, state.pending = "", 0, None
        store.save(state)
    if task["state"] == "paused":
        person.say(f"the task is paused: {task['reason'] or 'by an operator'}")
        _say_resume(Endpoint(server.url), store.path, state)
        return Exit.PAUSED
    await report(server, person, task)
    state.finished = True
    store.save(state)
    return Exit.DONE


def _interruptible(endpoint: Endpoint, wish: Wish, state: State, store: Store, person: Person) -> int:
    """Runs it all; the first Ctrl-C or SIGTERM ends it in order, and the nodes that it has started with it."""
    received: list[int] = []

    def lost(problem: str, pause: float) -> None:
        person.say(f"waiting for {endpoint.url}: {problem}")

    async def work(nodes: LocalNodes) -> int:
        async with Connection(endpoint, patience_s=PATIENCE_S, on_lost=lost) as connection:
            return await drive(Server(connection, endpoint.url), person, state, store, wish, nodes)

    async def live(children: TiedChildren) -> int:
        loop, nodes = asyncio.get_running_loop(), LocalNodes(_beside(store.path), children, state.nodes, wish)
        running = asyncio.ensure_future(work(nodes))

        def stop(number: int) -> None:
            received.append(number)
            running.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        guard = asyncio.ensure_future(nodes.guard(person))
        try:
            await asyncio.wait([running, guard], return_when=asyncio.FIRST_COMPLETED)
            if guard.done():
                guard.result()
            return await running
        finally:
            await _ended(running, guard)

    with TiedChildren(_beside(store.path)) as children:
        try:
            code = asyncio.run(live(children))
            if code == Exit.DONE:
                children.part()
            return code
        except (KeyboardInterrupt, asyncio.CancelledError):
            print(file=sys.stderr)
            print("stopped; the federation goes on without me." if state.task_id else "stopped.", file=sys.stderr)
            _say_resume(endpoint, store.path, state)
            return 128 + (received[0] if received else signal.SIGINT)


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _begin(store: Store, endpoint: Endpoint, wish: Wish) -> State:
    """The state to go on from, or a new one."""
    known = store.load()
    if wish.resume:
        if known is None:
            problem = f"there is nothing to resume: {store.path} does not exist."
            raise Refused(ErrorCode.NOT_FOUND, problem, "begin with a goal, without --resume")
        if known.url != endpoint.url:
            problem = f"{store.path} is of a run on {known.url}."
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "give that URL, or another --state")
        known.nodes = wish.nodes or known.nodes
        known.simulate = known.simulate or (wish.simulate and not known.agreed)
        return known
    if known is not None and _begun(known) and not known.finished:
        problem = f"an earlier run of this goal is not over{f': task {known.task_id}' if known.task_id else ''}."
        raise Refused(ErrorCode.WRONG_STATE, problem, "go on with it: --resume; or begin another: --state FILE")
    state = State(endpoint.url, wish.goal, nodes=wish.nodes)
    store.save(state)
    return state


def _state_file(endpoint: Endpoint, wish: Wish) -> Path:
    if wish.state_file is not None:
        return wish.state_file
    return latest_of(endpoint.url) if wish.resume and not wish.goal else file_of(endpoint.url, wish.goal)


def _beside(path: Path) -> Path:
    return path.with_suffix(".nodes")


def _begun(state: State) -> bool:
    """Whether there is more to go on with than a plan."""
    return bool(state.agreed or state.task_id or state.transcript)


def _say_resume(endpoint: Endpoint, path: Path, state: State) -> None:
    llm = ["--llm"] if state.transcript else []
    line = shlex.join(["potluck", "agent", endpoint.url, "--resume", "--state", str(path), *llm])
    print(f"to go on: {line}", file=sys.stderr, flush=True)
