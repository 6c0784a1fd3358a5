"""The MCP server: tools, resources, prompts and completions around one federation."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from federation.errors import ErrorCode, Refused
from federation.store.audit import Audit, Call
from federation.store.events import Origin, origin
from mcp_server.fanout import Fanout
from mcp_server.log_levels import accept_log_levels
from mcp_server.prompts import register_completions, register_prompts
from mcp_server.resources import register_resources
from mcp_server.telemetry import Telemetry
from tools.catalogue import TOOLS
from tools.context import Potluck, current_caller
from tools.contract import OPERATORS, RoleTool, refusal

INSTRUCTIONS = """Potluck coordinates federated learning: everyone brings an update, nobody brings their data.
People and agents: list_tasks, get_task; validate_task before create_task (schema: potluck://schema/task).
Nodes: handshake, then get_assignment; train; begin_upload and submit_update; its answer says what comes next.
Ids are explicit and every call may be repeated: a repeated call answers the same and changes nothing twice.
Errors name a code, the problem and the mend."""

_METHODS = ("resources/read", "resources/subscribe", "subscriptions/listen", "prompts/get", "completion/complete")
_BY_NAME = {entry.name: entry for entry in TOOLS}


def build_protocol(state: Potluck, telemetry: Telemetry, fanout: Fanout, *, conformance: bool = False) -> MCPServer:
    """An MCP server whose every answer comes from `state`. It holds no state of its own but open connections.

    `conformance` adds the fixtures of the official suites, which every caller may use.
    """
    fixtures: frozenset[str] = frozenset()

    @asynccontextmanager
    async def lifespan(_: MCPServer) -> Any:
        yield state

    async def by_role(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Shows each caller the tools of its role, in one order, counts calls, and notes refused ones."""
        if ctx.method == "tools/call":
            if (ctx.params or {}).get("name") in fixtures:
                return await call_next(ctx)
            return await _counted(ctx, call_next, telemetry, state.audit)
        try:
            result = await call_next(ctx)
        except MCPError as error:
            state.audit.note(_call(ctx.method if ctx.method in _METHODS else "another method", _code_of(error)))
            raise
        except ValueError:
            if ctx.method != "prompts/get":
                raise
            # The SDK takes a prompt or an argument that is not there for a fault of the server's.
            state.audit.note(_call(ctx.method, ErrorCode.NOT_FOUND.value))
            message = "there is no such prompt, or it lacks an argument. Mend: prompts/list names prompts and arguments"
            raise MCPError(code=INVALID_PARAMS, message=message) from None
        if ctx.method == "tools/list" and isinstance(result, dict):
            access = current_caller().access
            shown = {entry.name for entry in TOOLS if entry.allows(access)} | fixtures
            return result | {"tools": [tool for tool in result["tools"] if tool["name"] in shown]}
        return result

    server = MCPServer(
        "potluck",
        title="Potluck",
        description="Federated learning in which every capability is an MCP tool.",
        version=version("potluck-fl"),
        instructions=INSTRUCTIONS,
        tools=[RoleTool.of(entry) for entry in TOOLS],
        lifespan=lifespan,
        subscriptions=fanout.bus,
        middleware=[by_role],
        cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="private")},
        log_level="WARNING",
    )
    fanout.install(server)
    register_resources(server, state)
    register_prompts(server)
    register_completions(server, state)
    accept_log_levels(server)
    if conformance:
        from mcp_server.conformance.fixtures import register_fixtures

        fixtures = register_fixtures(server)
    return server


async def _counted(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext, telemetry: Telemetry, audit: Audit
) -> HandlerResult:
    name = str((ctx.params or {}).get("name"))
    if name not in _BY_NAME:
        telemetry.called("unknown", "refused", 0.0)
        audit.note(_call("unknown", ErrorCode.NOT_FOUND.value))
        return refusal(
            Refused(
                ErrorCode.NOT_FOUND,
                f"there is no tool {name[:80]!r}.",
                "tools/list (`potluck call URL`) names the tools",
            )
        )
    began = time.perf_counter()
    caller = current_caller()
    source = Origin(name, caller.access.value if caller.access else "", caller.address)
    reset = origin.set(source)
    try:
        result = await call_next(ctx)
    except Exception:
        telemetry.called(name, "error", time.perf_counter() - began)
        audit.note(_call(name, ErrorCode.INTERNAL.value))
        raise
    finally:
        origin.reset(reset)
    refused = isinstance(result, dict) and bool(result.get("isError"))
    telemetry.called(name, "refused" if refused else "ok", time.perf_counter() - began)
    if refused:
        audit.note(_call(name, _refusal_code(result)))
    elif _BY_NAME[name].roles == OPERATORS and not source.recorded:
        audit.note(_call(name, ""))  # what changed something stands in the journal with the change
    return result


def _call(what: str, code: str) -> Call:
    caller = current_caller()
    return Call(caller.token_id, caller.access.value if caller.access else "", caller.address, what, code)


def _refusal_code(result: Any) -> str:
    error = (result.get("structuredContent") or {}).get("error") or {}
    return str(error.get("code", ErrorCode.INTERNAL.value))


def _code_of(error: MCPError) -> str:
    data = error.error.data
    if isinstance(data, dict) and isinstance(data.get("error"), dict):
        return str(data["error"].get("code"))
    return str(error.error.code)
