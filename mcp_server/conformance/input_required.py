"""Tools and a prompt that answer with what they still need, as 2026-07-28 asks clients."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import (
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequests,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

from mcp_server.conformance.samples import text

Answer = CallToolResult | InputRequiredResult


def _question(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sampling(words: str, max_tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=words))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


_NAME = _question("What is your name?", "name")


def _given(ctx: Context[Any, Any], key: str, field: str) -> Any:
    """What the user put into `field` of the form `key`; None if that was not answered, or not like this."""
    answer = (ctx.input_responses or {}).get(key)
    return (answer.content or {}).get(field) if isinstance(answer, ElicitResult) else None


def _asked(requests: InputRequests, state: str | None = None) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def _done(words: str) -> CallToolResult:
    return CallToolResult(content=[text(words)])


def ask_for_a_name(ctx: Context[Any, Any]) -> Answer:
    """A question, and once it is answered, a greeting."""
    name = _given(ctx, "user_name", "name")
    return _asked({"user_name": _NAME}) if name is None else _done(f"Hello, {name}!")


def register_input_required(server: MCPServer) -> None:
    """Adds the tools and the prompt. The SDK seals `request_state`, and refuses what was tampered with."""

    @server.tool(description="Asks for a name.", structured_output=False)
    def test_input_required_result_elicitation(ctx: Context[Any, Any]) -> Answer:
        return ask_for_a_name(ctx)

    @server.tool(description="Asks the client's language model.", structured_output=False)
    def test_input_required_result_sampling(ctx: Context[Any, Any]) -> Answer:
        answer = (ctx.input_responses or {}).get("capital_question")
        if answer is None:
            return _asked({"capital_question": _sampling("What is the capital of France?", 100)})
        content = getattr(answer, "content", None)
        return _done(str(getattr(content, "text", content)))

    @server.tool(description="Asks for the client's roots.", structured_output=False)
    def test_input_required_result_list_roots(ctx: Context[Any, Any]) -> Answer:
        answer = (ctx.input_responses or {}).get("client_roots")
        if answer is None:
            return _asked({"client_roots": ListRootsRequest()})
        return _done(", ".join(str(root.uri) for root in getattr(answer, "roots", [])))

    @server.tool(description="Asks, and remembers in its state that it did.", structured_output=False)
    def test_input_required_result_request_state(ctx: Context[Any, Any]) -> Answer:
        if ctx.request_state != "asked" or _given(ctx, "confirm", "ok") is None:
            return _asked({"confirm": _question("Please confirm", "ok", "boolean")}, "asked")
        return _done("state-ok")

    @server.tool(description="Refuses a state that is not its own.", structured_output=False)
    def test_input_required_result_tampered_state(ctx: Context[Any, Any]) -> Answer:
        if ctx.request_state != "asked":
            return _asked({"confirm": _question("Please confirm", "ok", "boolean")}, "asked")
        return _done("state-ok")

    @server.tool(description="Asks for three things at once.", structured_output=False)
    def test_input_required_result_multiple_inputs(ctx: Context[Any, Any]) -> Answer:
        wanted: InputRequests = {
            "user_name": _NAME,
            "greeting": _sampling("Generate a greeting", 50),
            "client_roots": ListRootsRequest(),
        }
        if ctx.request_state != "asked" or not wanted.keys() <= (ctx.input_responses or {}).keys():
            return _asked(wanted, "asked")
        return _done(f"Hello, {_given(ctx, 'user_name', 'name')}!")

    @server.tool(description="Asks twice.", structured_output=False)
    def test_input_required_result_multi_round(ctx: Context[Any, Any]) -> Answer:
        if ctx.request_state is None:
            return _asked({"step1": _question("Step 1: What is your name?", "name")}, "round 1")
        if ctx.request_state == "round 1":
            name = _given(ctx, "step1", "name")
            return _asked({"step2": _question("Step 2: What is your favorite color?", "color")}, f"round 2: {name}")
        return _done(f"{ctx.request_state.removeprefix('round 2: ')} likes {_given(ctx, 'step2', 'color')}")

    @server.tool(description="Asks only for what the client can do.", structured_output=False)
    def test_input_required_result_capabilities(ctx: Context[Any, Any]) -> Answer:
        able = ctx.client_capabilities
        wanted: InputRequests = {}
        if able is not None and able.sampling is not None:
            wanted["greeting"] = _sampling("Generate a greeting", 50)
        if able is not None and able.elicitation is not None:
            wanted["user_name"] = _NAME
        return _asked(wanted) if wanted and ctx.input_responses is None else _done("nothing to ask")

    @server.prompt(description="Asks for a context first.")
    def test_input_required_result_prompt(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        context = _given(ctx, "user_context", "context")
        if context is None:
            return _asked({"user_context": _question("What context should the prompt use?", "context")})
        return f"Use this context: {context}"
