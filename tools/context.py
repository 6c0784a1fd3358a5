"""What a tool is handed: the federation, and who is calling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import Context

from federation.coordinator.federation import Federation
from federation.store.audit import Audit
from orchestrator.llm.budget import Budget
from orchestrator.llm.configured import LlmChoice
from orchestrator.llm.model import LanguageModel
from resources.workload import Workload
from tools.rate import Rates


class Access(StrEnum):
    """Sets of tools. `open` is a server that asks nobody who they are."""

    VIEWER = "viewer"
    NODE = "node"
    OPERATOR = "operator"
    OPEN = "open"


@dataclass(frozen=True)
class Caller:
    """Who calls: the token's id, or `anonymous`, the role, and the address ("" within one process)."""

    token_id: str
    access: Access | None
    address: str = ""

    @property
    def sees_nodes(self) -> bool:
        """Whether single nodes' numbers are this caller's business. A node's are not another node's."""
        return self.access is not None and self.access is not Access.NODE


caller_address: ContextVar[str] = ContextVar("caller_address", default="")
"""Where the request in progress comes from."""


def current_caller() -> Caller:
    """The caller of the request in progress; without an identity, nobody."""
    token = get_access_token()
    if token is None or not token.scopes:
        return Caller("nobody", None, caller_address.get())
    return Caller(token.client_id, Access(token.scopes[0]), caller_address.get())


@dataclass(frozen=True)
class Potluck:
    """The server-wide state behind every tool and resource.

    Attributes:
        is_called: whether a host name is one of this server's; nodes sign for the host that they dialled.
        model: the language model that plans and writes; None: rules and templates do.
        llm_turns, llm_tokens: what one call of a tool may spend on it.
    """

    federation: Federation
    workload: Workload
    is_called: Callable[[str], bool]
    audit: Audit
    rates: Rates = field(default_factory=Rates)
    measuring: asyncio.Lock = field(default_factory=asyncio.Lock)
    model: LanguageModel | None = None
    llm_turns: int = LlmChoice.max_turns
    llm_tokens: int = LlmChoice.max_tokens

    def llm_budget(self) -> Budget:
        """What one call may spend, from now."""
        return Budget(self.llm_turns, self.llm_tokens)


Ctx = Context[Potluck, Any]


def potluck(ctx: Ctx) -> Potluck:
    """The state, from a tool's context."""
    return ctx.request_context.lifespan_context
