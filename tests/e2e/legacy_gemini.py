"""What the retired SDK does against a fake service, run by the interpreter of an environment that has it.

Prints one JSON document: a step of calls and what was said after it, a structured answer, and refusals in words.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from federation.errors import Refused
from orchestrator.llm.configured import LlmChoice, language_model
from orchestrator.llm.gemini_legacy import LegacyGemini
from orchestrator.llm.model import Answered, LanguageModel, Said, ToolResult, ToolSpec, Turn
from orchestrator.llm.retries import Retries

TOOL = ToolSpec(
    "validate_task",
    "Check a spec.",
    {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "description": "Task spec."},
            "round": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        },
        "required": ["spec"],
        "additionalProperties": False,
    },
)


async def main(name: str) -> dict[str, Any]:
    model = language_model(LlmChoice("gemini-legacy", model=name, timeout_s=10))
    assert model is not None
    history: list[Turn] = [Said("check it")]
    first = await model.reply(history, system="Be brief.", tools=[TOOL])
    done = Answered(tuple(ToolResult(call, {"valid": True}) for call in first.calls))
    second = await model.reply([*history, first, done], system="Be brief.", tools=[TOOL])
    third = await model.reply([Said("a plan")], system="Plan.", schema={"type": "object", "required": ["rounds"]})
    newer = language_model(LlmChoice("gemini-legacy", model="gemini-3.8-flash"))
    assert newer is not None
    once = LegacyGemini(name, timeout_s=10, retries=Retries(attempts=1))
    return {
        "calls": [[call.name, call.arguments, call.call_id] for call in first.calls],
        "text": second.text,
        "plan": json.loads(third.text),
        "blocked": await _refusal(model),
        "unauthorised": await _refusal(model),
        "a page": await _refusal(once),
        "arguments of another type": await _refusal(once),
        "tools with Gemini 3": await _refusal(newer, TOOL),
    }


async def _refusal(model: LanguageModel, *tools: ToolSpec) -> str:
    try:
        await model.reply([Said("hello")], system="", tools=tools)
    except Refused as refused:
        return str(refused)
    return "not refused"


print(json.dumps(asyncio.run(main(sys.argv[1]))))
