"""What a person has agreed to, as it is kept until it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from potluck.agent.proposals import Proposal


@dataclass
class Pending:
    """A proposal that was granted and is not done yet.

    Attributes:
        calls: tools with their arguments. Each may be repeated: what is so already stays so.
        round: the task's when it was granted.
        done: how many of the calls are known to be made.
        successor: the spec of a task to make, once the calls are.
    """

    key: str
    why: str
    what: str
    calls: list[tuple[str, dict[str, Any]]]
    round: int
    done: int = 0
    successor: dict[str, Any] | None = None

    @classmethod
    def of(cls, proposal: Proposal, task: Mapping[str, Any]) -> Pending:
        """From now on it is to be done."""
        calls = [(tool, dict(arguments)) for tool, arguments in proposal.calls]
        successor = None if proposal.successor is None else dict(proposal.successor)
        return cls(proposal.key, proposal.why, proposal.what, calls, int(task["round"]), successor=successor)

    @property
    def proposal(self) -> Proposal:
        """As it was agreed to."""
        return Proposal(self.key, self.why, self.what, tuple(self.calls), self.successor)

    def is_past(self, arguments: Mapping[str, Any], task: Mapping[str, Any]) -> bool:
        """Whether a call was made though nobody has noted it, and repeating it would undo what came after.

        Resuming opens a round. Where one was opened since, a pause from then on has another reason.
        """
        return arguments.get("action") == "resume" and int(task["round"]) > self.round
