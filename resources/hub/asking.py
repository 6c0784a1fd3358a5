"""One question to the Hub's lists: a few pages, one deadline over all, no credentials; an answer or the reason why
there is none."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from resources.hub.entries import HubEntry, entry

DEADLINE_S = 8.0
"""Of a search, over all its questions and their pages."""
KEPT_S = 300.0
"""So long an answer is given again."""
_KEPT = 64
_PAGES, _MOST_BYTES = 3, 8 << 20
_MANY, _BROKEN, _OK = 429, 500, 200

Params = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class HubAnswer:
    """What the Hub knows, in its own order; or why it could not be asked."""

    entries: tuple[HubEntry, ...]
    unavailable: str | None = None


class _Unavailable(Exception):
    """The Hub gave no answer; its text is the reason in words."""


_lock = threading.Lock()
_answers: OrderedDict[tuple[str, str, Params], tuple[float, HubAnswer]] = OrderedDict()
_refused_until: dict[str, float] = {}


def ask(kind: str, params: Params, limit: int, deadline: float) -> HubAnswer:
    """The first `limit` repositories of /api/<kind> that the parameters describe, by `deadline` (`time.monotonic`).
    Never raises.

    Answers are kept for `KEPT_S` seconds; a Hub that says how long it will refuse is not asked until then.
    """
    from huggingface_hub import constants

    endpoint, now = constants.ENDPOINT, time.monotonic()
    key = (endpoint, kind, (*params, ("limit", str(limit))))
    with _lock:
        if (kept := _answers.get(key)) and now - kept[0] < KEPT_S:
            return kept[1]
        if (wait := _refused_until.get(endpoint, 0) - now) > 0:
            return HubAnswer((), _in_words(_too_many(wait)))
    try:
        answer = HubAnswer(_listed(f"{endpoint}/api/{kind}", key[2], limit, deadline))
    except Exception as error:  # the client raises its own errors, its HTTP library's and the system's
        return HubAnswer((), _in_words(_reason(error)))
    with _lock:
        _answers[key] = (now, answer)
        while len(_answers) > _KEPT:
            _answers.popitem(last=False)
    return answer


def forget() -> None:
    """All answers and refusals that are kept."""
    with _lock:
        _answers.clear()
        _refused_until.clear()


def _listed(url: str, params: Params, limit: int, deadline: float) -> tuple[HubEntry, ...]:
    found: dict[str, HubEntry] = {}
    place: str | None = url
    for page in range(_PAGES):
        raw, after = _page(str(place), params if page == 0 else (), deadline)
        for each in raw:
            if (made := entry(each)) is not None:
                found.setdefault(made.id, made)
        place = after if after is not None and after.startswith(url) else None  # never to another host
        if place is None or len(found) >= limit:
            break
    return tuple(found.values())[:limit]


def _page(url: str, params: Params, deadline: float) -> tuple[list[Any], str | None]:
    from huggingface_hub import get_session

    # No credentials: what is shown to anyone who asks must not depend on the server's own account.
    headers, left = {"user-agent": "potluck"}, deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    more: dict[str, Any] = {"params": list(params)} if params else {}  # an empty list would drop the link's own
    with get_session().stream("GET", url, headers=headers, timeout=left, follow_redirects=False, **more) as answer:
        _check(answer, url)
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > _MOST_BYTES:
                raise _Unavailable(f"its answer is longer than {_MOST_BYTES >> 20} MiB")
            if time.monotonic() > deadline:
                raise TimeoutError
        raw = json.loads(body)
        if not isinstance(raw, list):
            raise _Unavailable("its answer is no list")
        return raw, answer.links.get("next", {}).get("url")


def _check(answer: Any, url: str) -> None:
    if answer.status_code == _MANY:
        wait = _wait(answer.headers)
        with _lock:
            _refused_until[url.split("/api/", maxsplit=1)[0]] = time.monotonic() + min(wait, 3600)
        raise _Unavailable(_too_many(wait))
    if answer.status_code >= _BROKEN:
        raise _Unavailable(f"it is out of order (HTTP {answer.status_code})")
    if answer.status_code != _OK:
        raise _Unavailable(f"it refused the question (HTTP {answer.status_code})")


def _wait(headers: Any) -> float:
    """Seconds, from `Retry-After` or the `RateLimit` header's t; a minute where neither says."""
    said = headers.get("retry-after", "")
    if not said.isdecimal():
        parts = dict(part.split("=", 1) for part in headers.get("ratelimit", "").split(";") if "=" in part)
        said = parts.get("t", "")
    return float(said) if said.isdecimal() and len(said) < 7 else 60.0


def _too_many(wait: float) -> str:
    return f"it takes no more questions from this address for {math.ceil(wait)} s (HTTP 429)"


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import OfflineModeIsEnabled

    name = type(error).__name__
    if isinstance(error, _Unavailable):
        return str(error)
    if isinstance(error, OfflineModeIsEnabled):
        return "this machine is set not to (HF_HUB_OFFLINE)"
    if isinstance(error, ValueError | RecursionError):
        return "its answer is no JSON"
    if "Timeout" in name:
        return f"it did not answer within {DEADLINE_S:g} s"
    return f"it is out of reach ({name})"


def _in_words(reason: str) -> str:
    return f"the Hugging Face Hub could not be asked: {reason}"
