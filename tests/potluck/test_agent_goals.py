"""An agent whose goal no task can meet."""

from __future__ import annotations

from typing import Any

import pytest

from federation.errors import Refused
from potluck.agent.planning import MOST_PLANS, plan
from potluck.agent.server import Server
from tests.potluck.agents import SPEC, Answers

pytestmark = pytest.mark.anyio


class NeverMet(Server):
    """Plans a sound spec for something else, and says so."""

    def __init__(self) -> None:
        self.called: list[str] = []

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        self.called.append(tool)
        unmet = {"field": "(goal)", "problem": "the goal cannot be met", "mend": "ask for what there is"}
        sound = {"budget": {}, "warnings": []}
        if tool == "plan_task":
            return {"spec": SPEC, "valid": False, "problems": [unmet], **sound}
        return {"valid": True, "problems": [], **sound}


async def test_a_sound_spec_for_another_goal_is_not_made_even_where_everything_is_agreed_to() -> None:
    server = NeverMet()
    with pytest.raises(Refused, match="the goal cannot be met"):
        await plan(server, Answers(yes=True), "vertical learning")
    assert server.called.count("plan_task") == MOST_PLANS
