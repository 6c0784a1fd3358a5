"""What makes a plain function a Potluck tool: its title, its roles, its hints, and how it refuses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import ValidationError

from federation.errors import ErrorCode, Refused
from tools.context import Access, current_caller
from tools.schema import compact_input, compact_output

log = logging.getLogger(__name__)

_BROKEN = Refused(ErrorCode.INTERNAL, "the server failed at this call.", "its log says why; repeating the call is safe")

VIEWERS = frozenset({Access.VIEWER, Access.OPERATOR})
OPERATORS = frozenset({Access.OPERATOR})
NODES = frozenset({Access.NODE})
ANYONE = VIEWERS | NODES


@dataclass(frozen=True)
class Entry:
    """A tool of the catalogue. The defaults describe one that only reads what this server holds."""

    function: Callable[..., Awaitable[Any]]
    title: str
    roles: frozenset[Access]
    read_only: bool = True
    destructive: bool = False
    idempotent: bool = True
    open_world: bool = False

    @property
    def name(self) -> str:
        """The function's name is the tool's."""
        return self.function.__name__

    def allows(self, access: Access | None) -> bool:
        """Whether a caller with this role may use the tool."""
        return access is Access.OPEN or access in self.roles


class RoleTool(Tool):
    """A tool that knows who may call it, and says no in words that lead on."""

    roles: frozenset[Access]

    @classmethod
    def of(cls, entry: Entry) -> RoleTool:
        """The entry as the SDK's tool, its schemas without what no caller needs."""
        hints = ToolAnnotations(
            read_only_hint=entry.read_only,
            destructive_hint=entry.destructive,
            idempotent_hint=entry.idempotent,
            open_world_hint=entry.open_world,
        )
        description = " ".join((entry.function.__doc__ or "").split())
        plain = Tool.from_function(
            entry.function, title=entry.title, description=description, annotations=hints, structured_output=True
        )
        tool = cls(**{name: getattr(plain, name) for name in Tool.model_fields}, roles=entry.roles)
        tool.parameters = compact_input(plain.parameters)
        tool.__dict__["output_schema"] = compact_output(plain.output_schema or {})
        return tool

    async def run(self, arguments: dict[str, Any], context: Any, convert_result: bool = False) -> Any:
        """Runs the tool for the current caller; a refusal becomes an error result that carries its code."""
        try:
            self._check_caller()
            self._check_names(arguments)
            return await super().run(arguments, context, convert_result)
        except Refused as refused:
            return refusal(refused)
        except ToolError as error:
            if isinstance(error.__cause__, Refused):
                return refusal(error.__cause__)
            if isinstance(error.__cause__, ValidationError):
                return refusal(_invalid(error.__cause__))
            log.exception("tool %s broke", self.name)
            return refusal(_BROKEN)

    def _check_caller(self) -> None:
        caller = current_caller()
        if caller.access is not Access.OPEN and caller.access not in self.roles:
            needed = " or ".join(sorted(self.roles))
            raise Refused(
                ErrorCode.FORBIDDEN,
                f"{self.name} is for the role {needed}; this caller is {caller.access or 'nobody'}.",
                "call with a bearer token of that role; an operator makes one: issue_token, or "
                "`potluck token URL --role ROLE`",
            )

    def _check_names(self, arguments: dict[str, Any]) -> None:
        known = self.parameters.get("properties", {})
        unknown = sorted(set(arguments) - set(known))
        if unknown:
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                f"{self.name} has no argument {', '.join(map(repr, unknown))}.",
                f"its arguments are {', '.join(known) or 'none'}",
            )


def refusal(refused: Refused) -> CallToolResult:
    """A refusal as a tool's result: words for people and models, the code for programs."""
    content = [TextContent(type="text", text=str(refused))]
    return CallToolResult(content=content, structured_content={"error": refused.as_dict()}, is_error=True)


def _invalid(error: ValidationError) -> Refused:
    problems = "; ".join(
        _of_argument(detail["loc"], detail["type"], detail["msg"].removeprefix("Value error, "))
        for detail in error.errors(include_url=False, include_input=False)
    )
    return Refused(ErrorCode.INVALID_ARGUMENT, f"{problems}.", "correct these arguments; tools/list has their schema")


def _of_argument(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    """What is wrong, after the argument it is wrong with; arguments that contradict each other have no such place."""
    if not loc:
        return f"the arguments: {message}"
    return f"{'.'.join(map(str, loc))}: {_in_words(str(loc[-1]), kind, message)}"


def _in_words(field: str, kind: str, message: str) -> str:
    if kind != "string_pattern_mismatch":
        return message
    form = message.partition("pattern ")[2]
    whose = (
        "choose your own, and the same one for a repetition" if field == "request_id" else "use one that a tool gave"
    )
    return f"is not of the form {form}; {whose}"
