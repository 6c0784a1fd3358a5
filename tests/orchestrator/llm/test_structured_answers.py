"""JSON that has to pass a check: what is wrong goes back to the model, for so many turns and tokens and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from federation.errors import ErrorCode, Refused
from orchestrator.llm.budget import Budget
from orchestrator.llm.model import Reply, Said, ToolSpec, Turn, Usage
from orchestrator.llm.structured import structured

pytestmark = pytest.mark.anyio
SCHEMA = {"type": "object"}


class Scripted:
    """A language model without a service: its replies in order, the last for ever."""

    name = "scripted"

    def __init__(self, *texts: str, tokens: int = 10) -> None:
        self._texts = list(texts)
        self._tokens = tokens
        self.histories: list[list[Turn]] = []

    async def reply(
        self,
        history: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[ToolSpec] = (),
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        assert schema == SCHEMA
        self.histories.append(list(history))
        text = self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]
        return Reply(text, usage=Usage(self._tokens, 0))


def even(data: Any) -> int:
    if not isinstance(data, dict) or "n" not in data:
        raise ValueError("n is missing")
    if data["n"] % 2:
        raise Refused(ErrorCode.INVALID_SPEC, f"{data['n']} is odd.", "give an even number")
    return int(data["n"])


async def answer(model: Scripted, budget: Budget | None = None) -> int:
    budget = budget or Budget(4, 1000)
    return await structured(model, "an even number", system="", schema=SCHEMA, check=even, budget=budget)


@pytest.mark.parametrize("text", ['{"n": 4}', ' ```json\n{"n": 4}\n``` ', '```\n{"n": 4}\n```'])
async def test_an_answer_that_passes_is_taken(text: str) -> None:
    model = Scripted(text)
    assert await answer(model) == 4
    assert len(model.histories) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{n: 4", "not JSON"),
        ("", "not JSON"),
        ('{"n": NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ('"' + "x" * 200_001 + '"', "200003 characters"),
        ("[]", "n is missing"),
        ('{"n": 3}', "3 is odd. Mend: give an even number"),
    ],
)
async def test_what_is_wrong_goes_back_with_the_answer_it_is_wrong_with(wrong: str, said: str) -> None:
    model = Scripted(wrong, '{"n": 2}')
    assert await answer(model) == 2
    first, kept, complaint = model.histories[1]
    assert first == Said("an even number")
    assert isinstance(kept, Reply)
    assert kept.text == wrong
    assert isinstance(complaint, Said)
    assert said in complaint.text


async def test_so_many_turns_and_no_more() -> None:
    model = Scripted('{"n": 1}')
    with pytest.raises(Refused, match="after 3 turns scripted had given no answer") as caught:
        await answer(model, Budget(3, 1000))
    assert caught.value.code is ErrorCode.BUSY
    assert "1 is odd" in caught.value.problem
    assert len(model.histories) == 3


async def test_so_many_tokens_and_no_more() -> None:
    model = Scripted('{"n": 1}', tokens=60)
    with pytest.raises(Refused, match="after 2 turns"):
        await answer(model, Budget(10, 100))
    assert len(model.histories) == 2


async def test_an_answer_that_went_over_the_budget_is_used_since_it_is_paid_for() -> None:
    assert await answer(Scripted('{"n": 6}', tokens=500), Budget(1, 100)) == 6


async def test_a_spent_budget_asks_nothing() -> None:
    budget, model = Budget(1, 100), Scripted('{"n": 2}')
    budget.charge(Usage(1, 1))
    with pytest.raises(Refused, match="1 turns") as caught:
        await answer(model, budget)
    assert caught.value.code is ErrorCode.BUSY
    assert model.histories == []


def test_a_budget_counts_prompts_and_answers_of_all_its_turns() -> None:
    budget = Budget(5, 100)
    budget.charge(Usage(30, 20))
    assert not budget.spent
    budget.charge(Usage(30, 20))
    assert budget.spent
    with pytest.raises(Refused, match="used 100 of the 100 tokens") as caught:
        budget.charge(Usage(1, 0))
    assert caught.value.code is ErrorCode.BUSY
    assert "llm_tokens" in caught.value.mend
