"""Discover, plan, show, validate: until there is a spec that can be trained, and a person who has seen it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import yaml

from federation.errors import ErrorCode, Refused
from orchestrator.diagnosis.names import plain
from orchestrator.planning.reading.words import LONGEST
from orchestrator.planning.unmet import GOAL
from potluck.agent.person import Person
from potluck.agent.server import Server, View
from potluck.live_table import human_bytes

MOST_PLANS = 3
"""A plan, and two attempts to mend it."""


async def discover(server: Server, person: Person) -> None:
    """Says what this caller may do here and what goes on. Refused where it may not make tasks."""
    await server.look_around()
    person.does(f"looked around at {server.url}: {len(server.tools)} tools")
    if "create_task" not in server.tools:
        problem = "this caller may not make tasks here."
        raise Refused(ErrorCode.FORBIDDEN, problem, "give an operator's token: --token, or POTLUCK_TOKEN")
    if "plan_task" not in server.tools:
        problem = "this server has no plan_task, so it cannot turn words into a task."
        mend = "use a newer server; or write a spec, and `potluck validate` and `potluck call URL create_task` it"
        raise Refused(ErrorCode.NOT_FOUND, problem, mend)
    role = "everybody may do everything" if "handshake" in server.tools else "operator"
    models, data = [await server.read(f"potluck://{kind}") for kind in ("models", "datasets")]
    person.say(f"  role: {role}; catalogue: {len(models)} models, {len(data)} data sets")
    tasks = (await server.call("list_tasks"))["tasks"]
    states = Counter(str(task["state"]) for task in tasks)
    person.say(f"  tasks: {', '.join(f'{count} {state}' for state, count in states.items()) or 'none'}")
    for task in tasks:
        if task["state"] == "running":
            person.say(f"  running: {plain(str(task['name']), 60)} ({task['task_id']}), round {task['round']}")


async def plan(server: Server, person: Person, goal: str) -> View:
    """A plan of what was asked for, whose spec the server finds valid. Refused where planning does not come to one."""
    spec: dict[str, Any] | None = None
    problems: list[dict[str, str]] = []
    for _ in range(MOST_PLANS):
        person.does("plan_task" + (" again, to mend that" if spec else f": {plain(goal, 200)}"))
        arguments = {"goal": _with_problems(goal, problems)} | ({} if spec is None else {"spec": spec})
        found = await server.call("plan_task", **arguments)
        spec = found["spec"]
        person.does("validate_task")
        verdict = await server.call("validate_task", spec=spec)
        problems = [each for each in found.get("problems") or () if each["field"] == GOAL] + verdict["problems"]
        if not problems:
            return found | {"budget": verdict["budget"], "warnings": verdict["warnings"]}
        for each in problems:
            person.say(f"  problem: {_problem(each)}")
    said = "; ".join(_problem(each) for each in problems)
    raise Refused(
        ErrorCode.INVALID_SPEC, f"no plan could be made valid: {said}.", "say it in other words, or write a spec"
    )


def show(person: Person, found: View, *, simulate: bool) -> None:
    """The spec, why it is so, what was not understood, and what a round costs."""
    person.say(f"\nthe plan (by {'Gemini' if found.get('planner') == 'gemini' else 'rules'}):")
    person.say(_indented(yaml.safe_dump(found["spec"], sort_keys=False, allow_unicode=True)))
    if found.get("reasons"):
        person.say("because:")
    for each in found.get("reasons") or []:
        value = json.dumps(each.get("value"), ensure_ascii=False)
        person.say(f"  {plain(str(each['field']), 60)} = {plain(value, 80)}: {plain(str(each['why']), 400)}")
    for note in found.get("notes") or []:
        person.say(f"note: {plain(str(note), 400)}")
    for each in found.get("warnings") or []:
        person.say(f"warning: {_problem(each)}")
    if budget := found.get("budget"):
        person.say(f"it costs {cost(found['spec'], budget, simulate=simulate)}")


def cost(spec: View, budget: View, *, simulate: bool) -> str:
    """What a round of a node takes, in words, as far as it is known: of own data nobody knows how much there is."""
    said = []
    if not simulate:
        said.append(f"{human_bytes(budget['bytes_per_round_per_node'])} up and down")
    if budget.get("flops_per_round_per_node") is not None:
        said.append(f"{budget['flops_per_round_per_node']:.3g} FLOPs")
    beside = "" if simulate else " beside some 300 MB of Python and PyTorch"
    said.append(f"{human_bytes(budget['memory_bytes'])} of memory for training{beside}")
    rounds = f", {spec['rounds']} rounds" if "rounds" in spec else ""
    return f"{' and '.join([', '.join(said[:-1]), said[-1]] if said[1:] else said)} for a " + (
        f"{'client' if simulate else 'node'} and round{rounds}"
    )


def _with_problems(goal: str, problems: list[dict[str, str]]) -> str:
    if not problems:
        return goal
    said = goal + "\nMend these problems of the spec:\n" + "\n".join(_problem(each) for each in problems)
    return said[:LONGEST]


def _problem(each: dict[str, str]) -> str:
    return plain(f"{each['field']}: {each['problem']}; {each['mend']}", 600)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())
