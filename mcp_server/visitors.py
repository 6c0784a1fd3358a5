"""Whom the pages' visitors call as: the holder of a token, an operator by name, or whoever calls without one."""

from __future__ import annotations

from mcp.server.auth.provider import AccessToken

from mcp_server.auth import Callers, identity
from mcp_server.in_process import Who
from tools.context import Access
from tools.rate import Rates


class Visitors:
    """Maps what a visitor has shown to an identity, as the middleware does for callers from outside.

    Args:
        operators: names at Hugging Face whose holders are operators. The pages vouch that a visitor has signed in.
    """

    def __init__(self, callers: Callers, rates: Rates, operators: list[str]) -> None:
        self._callers = callers
        self._rates = rates
        self._operators = frozenset(name.lower() for name in operators)

    def holder(self, token: str, address: str) -> Who:
        """Whoever has this token, while it lasts. Wrong ones are counted by address, and slowed down."""

        async def who() -> AccessToken | None:
            guessing = self._rates.failures.wait(address) > 0
            known = await self._callers.holder(token, guessing=guessing)
            if known is None and not guessing and self._callers.is_guess(token):
                self._rates.failures.count(address)
            return None if known is None else known.identity

        return who

    def wait(self, address: str) -> float:
        """Seconds for which no token from this address is believed; 0: one may be tried."""
        return self._rates.failures.wait(address)

    def named(self, name: str) -> Who:
        """Who has signed in at Hugging Face by this name: an operator, or a caller like any other."""

        async def operator() -> AccessToken | None:
            return identity(f"hf:{name}"[:64], Access.OPERATOR)

        return operator if name.lower() in self._operators else self.anonymous()

    def anonymous(self) -> Who:
        """A visitor who has shown nothing."""

        async def who() -> AccessToken | None:
            return self._callers.anonymous()

        return who

    @staticmethod
    def watcher() -> Who:
        """The pages themselves, which listen for what changes. What has changed, each visitor reads as itself."""

        async def who() -> AccessToken | None:
            return identity("pages", Access.VIEWER)

        return who
