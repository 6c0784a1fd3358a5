"""Answers in JSON: parsed, checked, and asked for again with what was wrong with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from federation.errors import ErrorCode, Refused
from orchestrator.llm.budget import Budget
from orchestrator.llm.model import LanguageModel, Said, Turn

T = TypeVar("T")
_LONGEST = 200_000
"""Characters of an answer: more is no plan, and not parsed."""


async def structured(
    model: LanguageModel,
    prompt: str,
    *,
    system: str,
    schema: Mapping[str, Any],
    check: Callable[[Any], T],
    budget: Budget,
) -> T:
    """What `check` makes of the model's answer.

    Args:
        prompt: the question, and with it all text of others, as JSON.
        schema: JSON Schema of the answer, for the service; what it lets through, `check` judges.
        check: the answer as it is to be used; raises ValueError or Refused, whose words the model reads and mends.
            Called in a thread.
        budget: of all attempts together.

    Raises:
        Refused: BUSY when the budget is spent, with what was wrong with the last answer; as the model refuses.
    """
    history: list[Turn] = [Said(prompt)]
    wrong: str | None = None
    while not (wrong and budget.spent):
        budget.check()
        reply = await model.reply(history, system=system, schema=schema)
        budget.charge(reply.usage)
        try:
            return await asyncio.to_thread(lambda text: check(_parsed(text)), reply.text)
        except Refused as refused:
            wrong = f"{refused.problem} Mend: {refused.mend}"
        except ValueError as error:
            wrong = str(error)
        history += [reply, Said(f"That answer was not taken. {wrong}\nAnswer again, with the whole of it mended.")]
    said = wrong[:500].rstrip(".")
    problem = f"after {budget.asked} turns {model.name} had given no answer that can be used; the last one: {said}."
    raise Refused(ErrorCode.BUSY, problem, "say it in other words, or raise the setting llm_tokens")


def _parsed(text: str) -> Any:
    """The JSON in `text`, also from between the fences of a Markdown block. ValueError says where it is malformed."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```"):
        bare = bare[3:-3].removeprefix("json").strip()
    if len(bare) > _LONGEST:
        raise ValueError(f"the answer has {len(bare)} characters; {_LONGEST} are the most")
    try:
        return json.loads(bare, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
