"""A language model as the orchestrator sees it: a conversation in, a reply out. Adapters stand beside this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class ToolSpec:
    """A tool that the model may ask for: an MCP tool's name, description and JSON Schema, unchanged."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """What the model asks for. `call_id` goes back with the result, if the model gave one."""

    name: str
    arguments: Mapping[str, Any]
    call_id: str | None = None


@dataclass(frozen=True)
class ToolResult:
    """The answer to a call. `data` is JSON; of a call that was refused or failed, it says why and how to mend it."""

    call: ToolCall
    data: Mapping[str, Any]
    is_error: bool = False


@dataclass(frozen=True)
class Said:
    """A turn of ours in words."""

    text: str


@dataclass(frozen=True)
class Answered:
    """A turn of ours: the results of the model's calls, in their order."""

    results: tuple[ToolResult, ...]


@dataclass(frozen=True)
class Usage:
    """Tokens of one reply, as the service counts them."""

    prompt: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """What a budget is charged."""
        return self.prompt + self.output


@dataclass(frozen=True)
class Reply:
    """A turn of the model's.

    Attributes:
        content: the service's own content object as plain JSON, just as it came. It goes back with the history: Gemini
            refuses calls without the thought signatures that are in it.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    content: Any = None
    usage: Usage = field(default_factory=Usage)


Turn = Said | Answered | Reply


class LanguageModel(Protocol):
    """Gemini, the retired Gemini SDK, or a fake."""

    name: str

    async def reply(
        self,
        history: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[ToolSpec] = (),
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The model's next turn.

        Args:
            system: what it is to do. Text from nodes, cards and people never goes in here.
            schema: JSON Schema that the text of the reply is to follow; without tools.

        Raises:
            Refused: BUSY for an exhausted quota, a time-out or a service that is away (after retries), INVALID_ARGUMENT
                for a key or a model that the service does not take, each with its mend.
        """
        ...
