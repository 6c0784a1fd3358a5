"""Gemini through the SDK that Google retired in November 2025, `google-generativeai`, for whoever is bound to it.

It is older than thought signatures and drops them: with Gemini 3 and later it can plan and write, but not call tools.
"""

from __future__ import annotations

import asyncio
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from federation.errors import ErrorCode, Refused
from orchestrator.llm.legacy_schema import declared, restored
from orchestrator.llm.model import Answered, Reply, Said, ToolCall, ToolSpec, Turn, Usage
from orchestrator.llm.retries import Failed, Retries
from orchestrator.llm.service import api_key, blocked, failure, in_words, unanswered, unreadable


class LegacyGemini:
    """A conversation over REST, each request in a thread: the SDK's asynchronous calls speak gRPC alone.

    Args:
        name: of the model.
        timeout_s: that a reply may take, each attempt anew.
        most_tokens: that a reply may have.

    Raises:
        Refused: INVALID_ARGUMENT without the extra `gemini-legacy`.
    """

    def __init__(
        self, name: str, *, timeout_s: float = 60, most_tokens: int | None = None, retries: Retries | None = None
    ) -> None:
        try:
            with warnings.catch_warnings():  # that it is retired
                warnings.simplefilter("ignore", FutureWarning)
                import google.generativeai as sdk
        except ImportError:
            problem, mend = "the SDK google-generativeai is not installed.", "pip install 'potluck-fl[gemini-legacy]'"
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, mend) from None
        elsewhere = os.environ.get("GOOGLE_GEMINI_BASE_URL")
        address = {"api_endpoint": elsewhere} if elsewhere else None
        sdk.configure(api_key=api_key(), transport="rest", client_options=address)
        self.name = name
        self._sdk = sdk
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
        """See `LanguageModel`. The schema goes along in words, since the SDK knows half of its keywords.

        Raises:
            Refused: INVALID_ARGUMENT for tools with a model that wants its thought signatures back.
        """
        if tools and not _calls_without_signatures(self.name):
            problem = f"google-generativeai drops the thought signatures without which {self.name} takes no tool calls."
            mend = "set llm to gemini (pip install 'potluck-fl[gemini]'), or llm_model to a Gemini before 3"
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, mend)
        settings: dict[str, Any] = {"max_output_tokens": self._most_tokens} if self._most_tokens else {}
        if schema is not None:
            settings["response_mime_type"] = "application/json"
            system = in_words(system, schema)
        model = self._sdk.GenerativeModel(
            self.name,
            system_instruction=system or None,  # it refuses an empty one
            generation_config=settings,
            tools=[{"function_declarations": [declared(tool) for tool in tools]}] if tools else None,
        )
        contents = [_content(turn) for turn in history]
        schemas = {tool.name: tool.parameters for tool in tools}
        return _reply(await self._retries.run(lambda: self._once(model, contents)), schemas)

    async def _once(self, model: Any, contents: list[dict[str, Any]]) -> dict[str, Any]:
        """One attempt: the answer as JSON that says something. Failed or Refused otherwise."""
        from google.api_core import exceptions
        from google.protobuf.json_format import Error as NoProtobuf
        from requests import exceptions as transport

        def ask() -> Any:
            return model.generate_content(contents, request_options={"timeout": self._timeout_s, "retry": None})

        try:
            async with asyncio.timeout(2 * self._timeout_s):  # the SDK's own bounds each read, not all of them
                answer = await asyncio.to_thread(ask)
        except exceptions.GoogleAPICallError as error:
            raise failure(int(error.code or 500), error.message or "", error.details or (), self.name) from None
        except (TimeoutError, transport.Timeout):
            raise Failed(f"Gemini did not answer within {self._timeout_s:g} seconds") from None
        except transport.RequestException as error:
            raise Failed(f"Gemini cannot be reached ({type(error).__name__})") from None
        except (NoProtobuf, ValueError, TypeError, AttributeError, KeyError) as error:
            raise unreadable(error) from None
        document = type(answer._result).to_dict(answer._result, use_integers_for_enums=False)
        if reason := document.get("prompt_feedback", {}).get("block_reason"):
            raise blocked(reason)
        if not any(part.get("text") or part.get("function_call") for part in _parts(document)):
            candidates = document.get("candidates") or [{}]
            raise unanswered(candidates[0].get("finish_reason") or "none given")
        return dict(document)


def _calls_without_signatures(name: str) -> bool:
    """Gemini 3 was the first to insist on them; of an alias such as gemini-flash-latest nobody knows."""
    found = re.match(r"(?:models/)?gemini-(\d{1,3})\b", name)
    return found is not None and int(found[1]) < 3


def _content(turn: Turn) -> dict[str, Any]:
    match turn:
        case Said(text):
            return {"role": "user", "parts": [{"text": text}]}
        case Answered(results):
            responses = [
                {
                    "name": result.call.name,
                    "response": {"error": dict(result.data)} if result.is_error else dict(result.data),
                }
                | ({"id": result.call.call_id} if result.call.call_id else {})
                for result in results
            ]
            return {"role": "user", "parts": [{"function_response": response} for response in responses]}
        case Reply():
            return dict(turn.content)


def _reply(document: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> Reply:
    """The first candidate, and its arguments by the schemas of the tools, by name."""
    parts = [{key: value for key, value in part.items() if value} for part in _parts(document)]
    calls = tuple(
        ToolCall(
            call["name"], restored(call.get("args") or {}, schemas.get(call["name"]) or {}), call.get("id") or None
        )
        for part in parts
        if (call := part.get("function_call"))
    )
    counted = document.get("usage_metadata") or {}
    usage = Usage(counted.get("prompt_token_count", 0), counted.get("candidates_token_count", 0))
    text = "".join(part.get("text", "") for part in parts)
    return Reply(text, calls, {"role": "model", "parts": parts}, usage)


def _parts(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    candidates = document.get("candidates") or [{}]
    return list((candidates[0].get("content") or {}).get("parts") or [])
