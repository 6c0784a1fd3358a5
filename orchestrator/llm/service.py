"""What the Gemini API answers when it does not answer: by HTTP status, in words, and without the key."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from federation.errors import ErrorCode, Refused
from orchestrator.llm.retries import Failed

KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
"""Where a key may be in the environment; the first wins, as Google's own SDK has it."""
_NO_CONTENT = frozenset({"SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "RECITATION", "LANGUAGE", "MODEL_ARMOR"})
_TOO_SOON, _TIMED_OUT, _BROKEN = 429, 408, 500


class NotTaken(Refused):
    """The service does not take the request as it is, for a reason of its own: HTTP 400."""


def api_key() -> str | None:
    """The key of the environment, if there is one."""
    return next((value for name in KEYS if (value := os.environ.get(name))), None)


def failure(status: int, message: str, details: Iterable[Any], model: str) -> Failed | Refused:
    """What an HTTP error of the API comes to: something that may pass, or a refusal that says what to change.

    Args:
        status: HTTP status.
        message: of the service. It is shown, without the key, should that be in it.
        details: of the error, each an object with `@type`; RetryInfo and QuotaFailure are read.
        model: that was asked for.
    """
    said = without_key(" ".join(message.split())[:300]).rstrip(".") or "it gave no reason"
    if status == _TOO_SOON:
        named = quota_of(details)
        quota = f" ({named})" if named else ""
        return Failed(f"the quota of Gemini is used up{quota}: {said}", retry_after_s=delay_of(details))
    if status == _TIMED_OUT or status >= _BROKEN:
        return Failed(f"Gemini failed with HTTP {status}: {said}", retry_after_s=delay_of(details))
    if status in (401, 403) or (status == 400 and "api key" in said.lower()):
        mend = f"set {KEYS[0]} to a key of https://aistudio.google.com/apikey that may use {model}, or the setting llm "
        mend += "to none"
        return Refused(ErrorCode.INVALID_ARGUMENT, f"Gemini does not take the API key: {said}.", mend)
    if status == 404:
        mend = "set llm_model to one that the key may use; https://ai.google.dev/gemini-api/docs/models lists them"
        return Refused(ErrorCode.INVALID_ARGUMENT, f"Gemini knows no model {model!r}: {said}.", mend)
    mend = "say it more briefly or in other words, choose another llm_model, or set llm to none"
    return NotTaken(ErrorCode.INVALID_ARGUMENT, f"Gemini does not take the request (HTTP {status}): {said}.", mend)


def in_words(system: str, schema: Mapping[str, Any]) -> str:
    """Instructions that carry a schema which the service, or its SDK, cannot be given."""
    return f"{system}\n\nAnswer with JSON that follows this JSON Schema:\n{json.dumps(schema)}"


def blocked(reason: str, message: str | None = None) -> Refused:
    """The service read the question and gives no answer to it."""
    said = f": {without_key(message)[:200].rstrip('.')}" if message else ""
    mend = "say it in other words, or set llm to none: rules and templates block nothing"
    return Refused(ErrorCode.INVALID_ARGUMENT, f"Gemini blocked the request ({reason}){said}.", mend)


def unanswered(reason: str) -> Failed | Refused:
    """A candidate without content, by its finish reason."""
    if reason in _NO_CONTENT:
        return blocked(reason)
    if reason == "MAX_TOKENS":
        mend = "raise llm_tokens, or choose a model that thinks less (llm_model)"
        return Refused(ErrorCode.BUSY, "Gemini spent all its tokens before it said anything.", mend)
    return Failed(f"Gemini gave an empty answer (finish reason {reason})")


def unreadable(error: Exception) -> Failed:
    """What came with HTTP 200 and is no answer of the API: a page of a proxy, or values of other types."""
    return Failed(f"Gemini's answer cannot be read ({type(error).__name__})")


def delay_of(details: Iterable[Any]) -> float | None:
    """Seconds of a google.rpc.RetryInfo, as in `{"retryDelay": "13.5s"}`."""
    for detail in details:
        if isinstance(detail, Mapping) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", str(detail.get("retryDelay", "")))
            return float(found[1]) if found else None
    return None


def quota_of(details: Iterable[Any]) -> str | None:
    """Which quota a google.rpc.QuotaFailure names, e.g. GenerateRequestsPerDayPerProjectPerModel-FreeTier."""
    for detail in details:
        if isinstance(detail, Mapping) and str(detail.get("@type", "")).endswith("google.rpc.QuotaFailure"):
            violations = detail.get("violations")
            first = violations[0] if isinstance(violations, list) and violations else {}
            name = str(first.get("quotaId", "")) if isinstance(first, Mapping) else ""
            return name[:100] or None
    return None


def without_key(text: str) -> str:
    """The text, should it repeat the key, without it."""
    for name in KEYS:
        if value := os.environ.get(name):
            text = text.replace(value, "<key>")
    return text
