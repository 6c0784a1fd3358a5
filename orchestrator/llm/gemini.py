"""Gemini through Google's SDK `google-genai`."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2

from federation.errors import ErrorCode, Refused
from orchestrator.llm.model import Answered, Reply, Said, ToolCall, ToolSpec, Turn, Usage
from orchestrator.llm.retries import Failed, Retries
from orchestrator.llm.service import NotTaken, blocked, failure, in_words, unanswered, unreadable

if TYPE_CHECKING:
    from google.genai import types


class Gemini:
    """A conversation with a Gemini model.

    The key, and with GOOGLE_GEMINI_BASE_URL another address, are the SDK's own business: it reads them from the
    environment. No sampling parameters are set, for Google has deprecated them.

    Args:
        name: of the model, as the API has it.
        timeout_s: that a reply may take, each attempt anew.
        most_tokens: that a reply may have, thoughts included; None: as many as the model's bound.

    Raises:
        Refused: INVALID_ARGUMENT without the extra `gemini`.
    """

    def __init__(
        self, name: str, *, timeout_s: float = 60, most_tokens: int | None = None, retries: Retries | None = None
    ) -> None:
        try:
            import google.genai  # noqa: F401 - whether it is there
        except ImportError:
            problem, mend = "the SDK google-genai is not installed.", "pip install 'potluck-fl[gemini]'"
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, mend) from None
        self.name = name
        self._timeout_s = timeout_s
        self._most_tokens = most_tokens
        self._retries = retries or Retries()

    async def reply(
        self,
        history: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[ToolSpec] = (),
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """See `LanguageModel`. A schema that the service does not take, since it bounds their complexity without saying
        how, goes along in words instead: whoever asks checks the answer anyway."""
        contents = [_content(turn) for turn in history]
        try:
            return await self._ask(contents, self._config(system, tools, schema))
        except NotTaken:
            if schema is None:
                raise
        return await self._ask(contents, self._config(in_words(system, schema), tools, {}))

    def _config(
        self, system: str, tools: Sequence[ToolSpec], schema: Mapping[str, Any] | None
    ) -> types.GenerateContentConfig:
        """`schema`: None for words, an empty one for any JSON."""
        from google.genai import types

        declared = [
            types.FunctionDeclaration(
                name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters)
            )
            for tool in tools
        ]
        return types.GenerateContentConfig(
            system_instruction=system,
            max_output_tokens=self._most_tokens,
            tools=[types.Tool(function_declarations=declared)] if declared else None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            response_mime_type=None if schema is None else "application/json",
            response_json_schema=dict(schema) if schema else None,
        )

    async def _ask(self, contents: list[types.Content], config: types.GenerateContentConfig) -> Reply:
        return await self._retries.run(lambda: self._once(contents, config))

    async def _once(self, contents: list[types.Content], config: types.GenerateContentConfig) -> Reply:
        """One attempt, over a connection of its own: nothing is left open between turns."""
        from google.genai import Client, errors, types

        trust = _trust()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx2.AsyncClient(timeout=self._timeout_s, verify=trust) as http,
            ):
                # The SDK also makes a client of each other kind, which would read the certificates again.
                options = types.HttpOptions(
                    httpx_async_client=http, client_args={"verify": trust}, async_client_args={"ssl": trust}
                )
                client = Client(http_options=options)
                answer = await client.aio.models.generate_content(
                    model=self.name, contents=list[Any](contents), config=config
                )
        except errors.APIError as error:
            raise failure(error.code, error.message or "", _details(error.details), self.name) from None
        except (TimeoutError, httpx2.TimeoutException):
            raise Failed(f"Gemini did not answer within {self._timeout_s:g} seconds") from None
        except httpx2.HTTPError as error:
            raise Failed(f"Gemini cannot be reached ({type(error).__name__})") from None
        except (ValueError, TypeError, AttributeError, KeyError) as error:  # as the SDK reads it, and validates
            raise unreadable(error) from None
        return _reply(answer)


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that this machine trusts. Reading them takes tens of milliseconds: once a process."""
    return httpx2.create_ssl_context()


def _content(turn: Turn) -> types.Content:
    """A turn as the API has it; the model's own goes back just as it came, thought signatures and all."""
    from google.genai import types

    match turn:
        case Said(text):
            return types.Content(role="user", parts=[types.Part(text=text)])
        case Answered(results):
            responses = [
                types.FunctionResponse(
                    id=result.call.call_id,
                    name=result.call.name,
                    response={"error": dict(result.data)} if result.is_error else dict(result.data),
                )
                for result in results
            ]
            return types.Content(role="user", parts=[types.Part(function_response=each) for each in responses])
        case Reply():
            return types.Content.model_validate(turn.content)


def _reply(answer: types.GenerateContentResponse) -> Reply:
    """The first candidate; Failed or Refused when there is none, or nothing in it."""
    feedback = answer.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise blocked(feedback.block_reason.value, feedback.block_reason_message)
    candidate = answer.candidates[0] if answer.candidates else None
    content = candidate.content if candidate else None
    parts = (content.parts if content else None) or []
    calls = tuple(
        ToolCall(call.name or "", dict(call.args or {}), call.id)
        for part in parts
        if (call := part.function_call) is not None
    )
    text = "".join(part.text for part in parts if part.text and not part.thought)
    if content is None or not (text or calls):
        reason = candidate.finish_reason if candidate else None
        raise unanswered(reason.value if reason else "none given")
    return Reply(text, calls, content.model_dump(mode="json", exclude_none=True), _usage(answer))


def _usage(answer: types.GenerateContentResponse) -> Usage:
    """As the service counts; where it does not, by the four letters to a token that Google names as usual."""
    counted = answer.usage_metadata
    if counted is None:
        written = len(json.dumps(answer.model_dump(mode="json", exclude_none=True)))
        return Usage(0, written // 4)
    prompt = (counted.prompt_token_count or 0) + (counted.tool_use_prompt_token_count or 0)
    return Usage(prompt, (counted.candidates_token_count or 0) + (counted.thoughts_token_count or 0))


def _details(document: Any) -> list[Any]:
    """The `details` in the body of an error, whatever that is."""
    error = document.get("error", document) if isinstance(document, Mapping) else {}
    found = error.get("details") if isinstance(error, Mapping) else None
    return found if isinstance(found, list) else []
