"""How much a language model may be asked for one purpose: turns and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from federation.errors import ErrorCode, Refused
from orchestrator.llm.model import Usage


@dataclass
class Budget:
    """Turns and tokens that are left.

    A reply that goes over the bound has been paid for and may be used; what comes after it is refused.

    Attributes:
        turns: replies, at most.
        tokens: of prompts and replies together, thoughts included, as the service counts them.
    """

    turns: int
    tokens: int
    used: Usage = field(default_factory=Usage)
    asked: int = 0

    @property
    def spent(self) -> bool:
        """Whether nothing more may be asked."""
        return self.asked >= self.turns or self.used.total >= self.tokens

    def check(self) -> None:
        """Call before asking. Refused BUSY, in words, when the budget is spent."""
        if self.asked >= self.turns:
            self._refuse(f"{self.turns} turns of the language model did not suffice")
        if self.used.total >= self.tokens:
            self._refuse(f"the language model used {self.used.total} of the {self.tokens} tokens it may")

    def charge(self, usage: Usage) -> None:
        """Call with each reply's usage. Refused BUSY, in words, when the budget had been spent before it."""
        self.check()
        self.asked += 1
        self.used = Usage(self.used.prompt + usage.prompt, self.used.output + usage.output)

    def _refuse(self, problem: str) -> None:
        mend = "ask for less at a time, or raise the setting llm_tokens"
        raise Refused(ErrorCode.BUSY, f"{problem}.", mend)
