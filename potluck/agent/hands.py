"""The bridge between a language model and the server's tools: what it may do by itself, and what a person decides.

Tools that only read run freely, so many of them. Everything else is shown with its arguments and asked for. Tokens,
links and signed URLs go to the person, never to the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from federation.errors import Refused
from orchestrator.diagnosis.names import plain
from orchestrator.llm.model import ToolCall, ToolResult, ToolSpec
from potluck.agent.local_nodes import LocalNodes
from potluck.agent.person import LONGEST, Person
from potluck.agent.server import Server
from potluck.agent.state import State
from potluck.agent.wish import Wish

MOST_READS, MOST_CHANGES = 100, 20
"""Calls of a run; the first of one process."""
MOST_CHARACTERS = 40_000
"""Of one result: a language model pays for each."""
WAIT_S = 600.0

_OF_NODES = ("handshake", "get_assignment", "begin_upload", "upload_chunk", "submit_update", "report_progress")
_SECRETS = frozenset({"token", "link", "qr_svg", "url", "node_token"})
_KEPT = "(kept from you; the person has it)"
_TASK = {"type": "object", "properties": {"task_id": {"type": "string"}}, "required": ["task_id"]}
_LOCAL = (
    ToolSpec(
        "read_resource",
        "Read a potluck:// resource: schema/task, models, datasets, tasks/{task_id}/metrics or …/rounds/{n}.",
        {"type": "object", "properties": {"uri": {"type": "string"}}, "required": ["uri"]},
    ),
    ToolSpec("wait_for_round", "Wait until the next round of a task is over, or the task stops; its state.", _TASK),
)
_START = ToolSpec("start_nodes", "Start the nodes of this machine on a task, with a token of their own.", _TASK)


class Hands:
    """Does what a model asks for, as far as it may."""

    def __init__(self, server: Server, person: Person, state: State, nodes: LocalNodes, wish: Wish) -> None:
        self._server, self._person, self._state = server, person, state
        self._nodes, self._wish = nodes, wish
        self._reads = MOST_READS

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What the model may ask for: the server's tools as they are, and a few of ours."""
        theirs = (
            ToolSpec(tool.name, tool.description or "", tool.input_schema)
            for tool in self._server.tools.values()
            if tool.name not in _OF_NODES
        )
        return (*theirs, *_LOCAL, *((_START,) if self._nodes.count else ()))

    async def do(self, call: ToolCall) -> ToolResult:
        """The call's result, or why there is none. Raises Unanswered where nobody is there to be asked."""
        if (why_not := await self._why_not(call)) is not None:
            return _no(call, why_not)
        try:
            data = await self._done(call)
        except Refused as refused:
            return ToolResult(call, refused.as_dict(), is_error=True)
        except (TypeError, ValueError, KeyError) as error:
            return _no(call, f"the arguments are wrong: {error}")
        return ToolResult(call, _short(_without_secrets(data)))

    async def _why_not(self, call: ToolCall) -> str | None:
        """Why the call is not made, in words for the model; None: it is."""
        if call.name not in [tool.name for tool in self.tools]:
            return f"there is no tool {call.name!r}"
        shown = f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}"
        if self._only_reads(call.name):
            self._reads -= 1
            self._person.does(plain(shown, 300))
            return None if self._reads >= 0 else f"{MOST_READS} readings are the most; come to an end"
        if self._wish.dry_run:
            return "nothing is to be made or changed (--dry-run)"
        return await self._granted(call, shown)

    async def _granted(self, call: ToolCall, shown: str) -> str | None:
        """Asks, as long as what would be done can be shown whole, and has a bound; why not, as above."""
        if not shown.isprintable():
            shown = f"{call.name} {json.dumps(call.arguments)}"
        question = f"The model wants to call {shown}. May it?"
        if len(question) > LONGEST:
            return f"its arguments are too long to be shown to the person whole: {LONGEST} characters are the most"
        if self._state.changes >= MOST_CHANGES:
            return f"{MOST_CHANGES} calls that change something are the most; come to an end"
        if not await self._person.ask(question):
            return "the person said no. Respect that: do not ask for it again"
        self._state.changes += 1
        return None

    async def _done(self, call: ToolCall) -> Any:
        arguments = dict(call.arguments)
        match call.name:
            case "read_resource":
                return await self._read(str(arguments["uri"]))
            case "wait_for_round":
                return await self._wait(str(arguments["task_id"]))
            case "start_nodes":
                return await self._start(str(arguments["task_id"]))
        data = await self._server.call(call.name, **arguments)
        if call.name in ("create_task", "run_simulation"):
            self._state.task_id, self._state.simulate = str(data["task_id"]), call.name == "run_simulation"
        if call.name == "issue_token" and data.get("token"):
            self._show_token(data)
        return data

    def _only_reads(self, name: str) -> bool:
        tool = self._server.tools.get(name)
        if tool is None:
            return name != "start_nodes"
        return bool(tool.annotations and tool.annotations.read_only_hint)

    async def _read(self, uri: str) -> Any:
        if not uri.startswith("potluck://") or uri.startswith("potluck://blobs"):
            raise ValueError("only potluck:// resources in JSON are read")
        return {"uri": uri, "content": await self._server.read(uri)}

    async def _wait(self, task_id: str) -> Any:
        before = await self._server.call("get_task", task_id=task_id)
        over = _over(before)

        def moved(task: Mapping[str, Any]) -> bool:
            return _over(task) > over or task["state"] in ("finished", "cancelled", "paused")

        task = await self._server.once(task_id, moved, within_s=WAIT_S)
        if task is None:
            return {"waited_s": WAIT_S, "moved": False}
        return {"moved": True, "state": task["state"], "reason": task["reason"], "rounds": task["rounds"][-3:]}

    async def _start(self, task_id: str) -> Any:
        wanted = {"role": "node", "label": "agent: nodes of its machine", "max_nodes": self._nodes.count}
        token = await self._server.call("issue_token", **wanted, request_id=self._state.request_id("nodes"))
        await self._nodes.start(self._server, self._person, task_id, str(token["token"]))
        return {"started": self._nodes.count, "token_id": token["token_id"]}

    def _show_token(self, issued: Mapping[str, Any]) -> None:
        if not self._person.sees_secrets:
            self._person.say("  its token is not written to a file; the same call with `potluck call` shows it")
            return
        self._person.say(f"  token {issued['token_id']} ({issued['role']}): {issued['token']}")
        if issued.get("link"):
            task, base = self._state.task_id or "TASK_ID", self._server.url
            link = str(issued["link"])
            self._person.say(f"  potluck join {base} --task {task} --token {issued['token']}")
            self._person.say(f"  {link if '://' in link else f'{base}/{link}'}")


def _over(task: Mapping[str, Any]) -> int:
    """The latest round that is over. They are not counted: of a long task only the latest are listed."""
    return max((int(each["round"]) for each in task["rounds"] if each["state"] in ("closed", "void")), default=0)


def _no(call: ToolCall, why: str) -> ToolResult:
    return ToolResult(call, {"problem": why}, is_error=True)


def _without_secrets(data: Any) -> Any:
    if isinstance(data, list):
        return [_without_secrets(each) for each in data]
    if isinstance(data, Mapping):
        return {k: _KEPT if k in _SECRETS and isinstance(v, str) else _without_secrets(v) for k, v in data.items()}
    return data


def _short(data: Any) -> dict[str, Any]:
    text = json.dumps(data, ensure_ascii=False)
    if len(text) > MOST_CHARACTERS:
        return {"cut_after": MOST_CHARACTERS, "of": len(text), "text": text[:MOST_CHARACTERS]}
    return dict(data) if isinstance(data, Mapping) else {"result": data}
