"""A Gemini for tests, over real HTTP: it says what a test scripts, and is as strict as the real one about what it gets.

Refused as Gemini 3 and later refuse it: a wrong key, an unknown model, a step of calls whose first call comes back
without the thought signature that it was sent with, results that do not answer the calls of the step before. Both of
Google's SDKs talk to it: set GOOGLE_API_KEY to `KEY` and GOOGLE_GEMINI_BASE_URL to what `serving` gives.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

KEY = "a-key-that-only-tests-have"
MODEL = "gemini-3.8-flash"
Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the fake answers to one request: a status and a body, once `hold` is set, if there is one; or `raw`."""

    body: Json = field(default_factory=dict)
    status: int = 200
    hold: threading.Event | None = None
    raw: bytes | None = None


def says(text: str, *, finish: str = "STOP", tokens: int | None = None) -> Answer:
    """Words."""
    return _candidate([{"text": text}], finish, tokens)


def writes(data: Any, *, tokens: int | None = None) -> Answer:
    """JSON, as a structured answer has it."""
    return says(json.dumps(data), tokens=tokens)


def calls(*wanted: tuple[str, Json], text: str = "", ids: bool = True) -> Answer:
    """One step of parallel calls. Only the first carries a signature; the fake makes it, so that each is its own."""
    parts: list[Json] = [{"text": text}] if text else []
    for name, arguments in wanted:
        parts.append({"functionCall": {"name": name, "args": arguments} | ({"id": "?"} if ids else {})})
    return _candidate(parts)


def empty(finish: str = "STOP") -> Answer:
    """A candidate without content."""
    return Answer({"candidates": [{"finishReason": finish}], "usageMetadata": {"promptTokenCount": 5}})


def blocked(reason: str = "SAFETY") -> Answer:
    """No candidate: the prompt was not to the filter's liking."""
    return Answer({"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 5}})


def fails(status: int, message: str, *, state: str = "UNAVAILABLE", details: Sequence[Json] = ()) -> Answer:
    """An error of the API."""
    return Answer(
        {"error": {"code": status, "status": state, "message": message, "details": list(details)}}, status=status
    )


def too_many(retry_delay: str | None = "7s", quota: str = "GenerateRequestsPerMinutePerProjectPerModel") -> Answer:
    """429, with the RetryInfo that Google sends."""
    details: list[Json] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
    ]
    if retry_delay is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay})
    message = "You exceeded your current quota, please check your plan and billing details."
    return fails(429, message, state="RESOURCE_EXHAUSTED", details=details)


Script = Callable[[Json], Answer]


class FakeGemini:
    """The API. Answers come in order, the last for ever; or from a function of the request's body.

    Args:
        model: the one that it has.

    Attributes:
        requests: bodies, in order, those it refused included.
        paths: of the requests.
    """

    def __init__(self, *answers: Answer, script: Script | None = None, model: str = MODEL) -> None:
        self._answers = list(answers)
        self._script = script
        self._model = model
        self._steps: dict[str, str] = {}  # a step of calls -> its signature
        self.requests: list[Json] = []
        self.paths: list[str] = []
        self.stopping = threading.Event()
        self.app = Starlette(routes=[Route("/{version}/models/{call:path}", self._generate, methods=["POST"])])

    async def _generate(self, request: Request) -> Response:
        body = await request.json()
        self.paths.append(request.url.path)
        self.requests.append(body)
        refused = self._refusal(request, body)
        answer = refused or (self._script(body) if self._script else self._next())
        if answer.hold is not None:
            await anyio.to_thread.run_sync(self._held, answer.hold)
        if answer.raw is not None:
            return Response(answer.raw, answer.status)
        return JSONResponse(self._signed(answer.body), answer.status)

    def _held(self, hold: threading.Event) -> None:
        while not hold.wait(0.05) and not self.stopping.is_set():
            pass

    def _next(self) -> Answer:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def _refusal(self, request: Request, body: Json) -> Answer | None:
        if request.headers.get("x-goog-api-key", request.query_params.get("key")) != KEY:
            return fails(400, "API key not valid. Please pass a valid API key.", state="INVALID_ARGUMENT")
        name, _, method = str(request.path_params["call"]).partition(":")
        if name != self._model or method != "generateContent":
            return fails(404, f"models/{name} is not found for API version v1.", state="NOT_FOUND")
        problem = next(filter(None, map(self._wrong, *_neighbours(body["contents"]))), None)
        return fails(400, problem, state="INVALID_ARGUMENT") if problem else None

    def _wrong(self, turn: Json, following: Json | None) -> str | None:
        """What is wrong with a step of calls in the history, and with the results after it."""
        made = [part for part in turn["parts"] if "functionCall" in part]
        if not made:
            return None
        signature = made[0].get("thoughtSignature")
        insists = not self._model.startswith("gemini-2")
        if signature is None and insists:
            return "Function call is missing a thought_signature in functionCall parts."
        if signature is not None and _plain(signature) != self._steps.get(_step(made)):
            return "Thought signature is not valid."
        results = [part["functionResponse"] for part in (following or turn)["parts"] if "functionResponse" in part]
        if following is not None and [_who(each["functionCall"]) for each in made] != [_who(each) for each in results]:
            return "Please ensure that function response parts answer the function call parts of the turn before."
        return None

    def _signed(self, body: Json) -> Json:
        """The body, its calls with ids of their own, the first of them signed."""
        body = json.loads(json.dumps(body))
        for candidate in body.get("candidates", []):
            made = [part for part in candidate.get("content", {}).get("parts", []) if "functionCall" in part]
            for part in made:
                if "id" in part["functionCall"]:
                    part["functionCall"]["id"] = f"call-{len(self.requests)}-{made.index(part)}"
            if made:
                signature = base64.b64encode(b"\xff\xfe thoughts of step %d" % len(self.requests)).decode()
                made[0]["thoughtSignature"] = signature
                self._steps[_step(made)] = _plain(signature)
        return dict(body)


@contextmanager
def serving(fake: FakeGemini) -> Iterator[str]:
    """The fake on a port of its own, on a thread of its own; gives its base URL."""
    with serving_app(fake.app) as url:
        try:
            yield url
        finally:
            fake.stopping.set()


class Stage:
    """An app that is whichever fake entered last, so that many can be served in turn without a new server each."""

    def __init__(self) -> None:
        self._fake: FakeGemini | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._fake is not None, "a request came when no fake was there"
        await self._fake.app(scope, receive, send)

    @contextmanager
    def playing(self, fake: FakeGemini) -> Iterator[None]:
        """The fake answers for as long as the context lasts."""
        before, self._fake = self._fake, fake
        try:
            yield
        finally:
            fake.stopping.set()
            self._fake = before


@contextmanager
def serving_app(app: ASGIApp) -> Iterator[str]:
    """An app on a port of its own, on a thread of its own; gives its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert server.up.wait(20), "the fake did not start"
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _candidate(parts: list[Json], finish: str = "STOP", tokens: int | None = None) -> Answer:
    written = len(json.dumps(parts)) // 4
    usage = {"promptTokenCount": 10, "candidatesTokenCount": written if tokens is None else tokens}
    content = {"role": "model", "parts": parts}
    return Answer({"candidates": [{"content": content, "finishReason": finish}], "usageMetadata": usage})


def _neighbours(contents: list[Json]) -> tuple[list[Json], list[Json | None]]:
    return contents, [*contents[1:], None]


def _who(call: Json) -> tuple[str, str | None]:
    return call["name"], call.get("id")


def _step(made: list[Json]) -> str:
    return json.dumps([part["functionCall"] for part in made], sort_keys=True)


def _plain(signature: str) -> str:
    """Both base64 alphabets are taken, as protobuf's JSON takes them."""
    return signature.replace("-", "+").replace("_", "/")
