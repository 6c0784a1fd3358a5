"""Gemini over real HTTP, from a fake that is as strict as the service."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from federation.errors import ErrorCode, Refused
from orchestrator.llm.gemini import Gemini
from orchestrator.llm.model import Answered, Reply, Said, ToolCall, ToolResult, ToolSpec, Turn
from orchestrator.llm.retries import Retries
from tests.fake_gemini import KEY, MODEL, Answer, blocked, calls, empty, fails, says, too_many, writes
from tests.orchestrator.conftest import Start

pytestmark = pytest.mark.anyio

STATUS = ToolSpec(
    "get_task",
    "Get a task.",
    {
        "type": "object",
        "properties": {"task_id": {"type": "string"}, "round": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "additionalProperties": False,
    },
)


class Waits:
    """What `sleep` was asked for; nobody waits."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def model(waits: Waits | None = None, **options: Any) -> Gemini:
    return Gemini(MODEL, retries=Retries(sleep=waits or Waits()), **options)


async def asked(what: str = "hello", **options: Any) -> Reply:
    return await model(**options).reply([Said(what)], system="Be brief.")


async def refusal(waits: Waits | None = None, **options: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await model(waits, **options).reply([Said("hello")], system="Be brief.")
    assert KEY not in str(caught.value)
    return caught.value


def results(reply: Reply, data: dict[str, Any], *, is_error: bool = False) -> Answered:
    return Answered(tuple(ToolResult(call, data, is_error) for call in reply.calls))


async def test_words_go_out_with_their_instructions_and_no_sampling_parameters(gemini: Start) -> None:
    fake = gemini(says("hello yourself"))
    reply = await asked()
    assert (reply.text, reply.calls, reply.usage.prompt) == ("hello yourself", (), 10)
    (body,) = fake.requests
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert body["contents"] == [{"role": "user", "parts": [{"text": "hello"}]}]
    assert not {"temperature", "topP", "topK"} & set(body["generationConfig"])


async def test_a_conversation_of_parallel_and_successive_calls_keeps_every_signature_and_id(gemini: Start) -> None:
    two = calls(("get_task", {"task_id": "a"}), ("get_task", {"task_id": "b", "round": 2}), text="Looking.")
    gemini(two, calls(("get_task", {"task_id": "c"})), says("all three run"))
    history: list[Turn] = [Said("how are they?")]
    replies = []
    while not replies or replies[-1].calls:
        replies.append(await model().reply(history, system="", tools=[STATUS]))
        history += [replies[-1], results(replies[-1], {"state": "running"})]
    assert replies[0].text == "Looking."
    assert [call.arguments for call in replies[0].calls] == [{"task_id": "a"}, {"task_id": "b", "round": 2}]
    assert len({call.call_id for reply in replies for call in reply.calls}) == 3
    assert replies[2].text == "all three run"


async def test_a_history_survives_json(gemini: Start) -> None:
    fake = gemini(calls(("get_task", {"task_id": "a"})), says("it runs"))
    first = await model().reply([Said("go on")], system="", tools=[STATUS])
    kept = Reply(first.text, first.calls, json.loads(json.dumps(first.content)))
    second = await model().reply([Said("go on"), kept, results(kept, {})], system="", tools=[STATUS])
    assert second.text == "it runs"
    assert fake.requests[1]["contents"][1]["parts"][0]["thoughtSignature"]


async def test_a_call_without_its_signature_is_refused_in_words(gemini: Start) -> None:
    gemini(calls(("get_task", {"task_id": "a"})), says("never"))
    first = await model().reply([Said("go on")], system="", tools=[STATUS])
    forged = {"role": "model", "parts": [{"function_call": {"name": "get_task", "args": {"task_id": "a"}}}]}
    bare = Reply("", (ToolCall("get_task", {"task_id": "a"}),), forged)
    with pytest.raises(Refused, match="thought_signature") as caught:
        await model().reply([Said("go on"), bare, results(first, {})], system="", tools=[STATUS])
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


async def test_calls_without_ids_are_answered_without_ids(gemini: Start) -> None:
    fake = gemini(calls(("get_task", {"task_id": "a"}), ids=False), says("done"))
    first = await model().reply([Said("go")], system="", tools=[STATUS])
    assert first.calls[0].call_id is None
    await model().reply([Said("go"), first, results(first, {})], system="", tools=[STATUS])
    assert "id" not in fake.requests[1]["contents"][2]["parts"][0]["functionResponse"]


async def test_what_a_tool_refused_goes_back_as_an_error(gemini: Start) -> None:
    fake = gemini(calls(("get_task", {})), says("I see"))
    first = await model().reply([Said("go")], system="", tools=[STATUS])
    back = results(first, {"code": "not_found"}, is_error=True)
    await model().reply([Said("go"), first, back], system="", tools=[STATUS])
    assert fake.requests[1]["contents"][2]["parts"][0]["functionResponse"]["response"] == {
        "error": {"code": "not_found"}
    }


async def test_schemas_go_out_unchanged(gemini: Start) -> None:
    fake = gemini(writes({"rounds": 3}))
    wanted = {"type": "object", "properties": {"rounds": {"type": "integer"}}, "additionalProperties": False}
    await model().reply([Said("go")], system="", tools=[STATUS])
    await model().reply([Said("go")], system="", schema=wanted)
    (declared,) = fake.requests[0]["tools"][0]["functionDeclarations"]
    assert declared.get("parametersJsonSchema", declared.get("parameters_json_schema")) == STATUS.parameters
    config = fake.requests[1]["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"] == wanted


async def test_a_schema_that_the_service_does_not_take_goes_along_in_words(gemini: Start) -> None:
    def script(body: dict[str, Any]) -> Answer:
        if "responseJsonSchema" in body["generationConfig"]:
            return fails(400, "The specified schema produces too many states for serving.", state="INVALID_ARGUMENT")
        return writes({"rounds": 3})

    fake = gemini(script=script)
    reply = await model().reply([Said("go")], system="Plan.", schema={"type": "object", "required": ["rounds"]})
    assert json.loads(reply.text) == {"rounds": 3}
    assert '"required": ["rounds"]' in fake.requests[1]["systemInstruction"]["parts"][0]["text"]
    assert fake.requests[1]["generationConfig"]["responseMimeType"] == "application/json"


async def test_a_used_up_quota_is_waited_for_as_long_as_the_service_asks(gemini: Start) -> None:
    fake, waits = gemini(too_many("7.5s"), too_many(None), says("now")), Waits()
    assert (await model(waits).reply([Said("hello")], system="")).text == "now"
    assert waits.seconds == [7.5, 2.0]
    assert len(fake.requests) == 3


async def test_a_quota_that_stays_used_up_is_busy_in_words(gemini: Start) -> None:
    fake, waits = gemini(too_many("2s")), Waits()
    refused = await refusal(waits)
    assert refused.code is ErrorCode.BUSY
    assert "GenerateRequestsPerMinutePerProjectPerModel" in refused.problem
    assert refused.retry_after_s == 2
    assert (len(fake.requests), waits.seconds) == (4, [2, 2, 2])


async def test_nobody_waits_for_a_quota_of_tomorrow(gemini: Start) -> None:
    fake, waits = gemini(too_many("86400s", "GenerateRequestsPerDayPerProjectPerModel-FreeTier")), Waits()
    refused = await refusal(waits)
    assert (refused.retry_after_s, waits.seconds, len(fake.requests)) == (86_400, [], 1)


async def test_a_service_that_is_down_is_tried_again_with_longer_and_longer_waits(gemini: Start) -> None:
    gemini(fails(503, "The model is overloaded."))
    waits = Waits()
    refused = await refusal(waits)
    assert (refused.code, waits.seconds) == (ErrorCode.BUSY, [1, 2, 4])
    assert "The model is overloaded" in refused.problem


async def test_a_service_that_does_not_answer_in_time_is_busy(gemini: Start) -> None:
    gemini(Answer(hold=threading.Event()))
    refused = await refusal(timeout_s=0.1)
    assert refused.code is ErrorCode.BUSY
    assert "did not answer within 0.1 seconds" in refused.problem


async def test_a_service_that_is_not_there_is_busy(gemini: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gemini(says("never"))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1")
    assert "cannot be reached" in (await refusal()).problem


async def test_a_wrong_key_is_named_but_not_shown(gemini: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, waits = gemini(says("never")), Waits()
    monkeypatch.setenv("GOOGLE_API_KEY", "wrong-secret")
    refused = await refusal(waits)
    assert refused.code is ErrorCode.INVALID_ARGUMENT
    assert "GOOGLE_API_KEY" in refused.mend
    assert "wrong-secret" not in str(refused)
    assert (len(fake.requests), waits.seconds) == (1, [])


async def test_a_service_that_repeats_the_key_is_not_quoted_with_it(gemini: Start) -> None:
    gemini(fails(400, f"The key {KEY} is from another region.", state="FAILED_PRECONDITION"))
    assert "<key> is from another region" in (await refusal()).problem


async def test_an_unknown_model_names_the_setting(gemini: Start) -> None:
    gemini(says("never"))
    with pytest.raises(Refused, match="gemini-0") as caught:
        await Gemini("gemini-0").reply([Said("hello")], system="")
    assert "llm_model" in caught.value.mend


@pytest.mark.parametrize("answer", [blocked("PROHIBITED_CONTENT"), empty("PROHIBITED_CONTENT")])
async def test_a_blocked_answer_is_said_in_words_and_not_asked_for_again(gemini: Start, answer: Answer) -> None:
    fake = gemini(answer)
    refused = await refusal()
    assert refused.problem == "Gemini blocked the request (PROHIBITED_CONTENT)."
    assert len(fake.requests) == 1


async def test_an_empty_answer_is_asked_for_again(gemini: Start) -> None:
    fake = gemini(empty("MALFORMED_FUNCTION_CALL"), says(""), says("there"))
    assert (await asked()).text == "there"
    assert len(fake.requests) == 3


async def test_a_model_that_only_thought_is_told_apart_from_one_that_failed(gemini: Start) -> None:
    fake = gemini(empty("MAX_TOKENS"))
    assert "before it said anything" in (await refusal()).problem
    assert len(fake.requests) == 1


ODD = (
    b"<html>Sign in to the hotel's network</html>",
    b"[]",
    b"3",
    b'{"candidates": 3}',
    b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "get_task", "args": "x"}}]}}]}',
    b'{"candidates": [{"content": "hello"}]}',
    b"\xff\xfe",
)


@pytest.mark.parametrize("raw", ODD)
async def test_what_is_no_answer_of_the_api_is_a_refusal_and_no_exception(gemini: Start, raw: bytes) -> None:
    fake = gemini(Answer(raw=raw))
    refused = await refusal()
    assert refused.code is ErrorCode.BUSY
    assert "cannot be read" in refused.problem or "empty answer" in refused.problem
    assert len(fake.requests) == 4
