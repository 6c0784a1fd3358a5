"""A Gemini that a test scripts, with its key and its address in the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.fake_gemini import KEY, Answer, FakeGemini, Script, serving

Start = Callable[..., FakeGemini]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a fake that answers as scripted; both SDKs find it."""
    with ExitStack() as running:

        def start(*answers: Answer, script: Script | None = None) -> FakeGemini:
            fake = FakeGemini(*answers, script=script)
            monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", running.enter_context(serving(fake)))
            monkeypatch.setenv("GOOGLE_API_KEY", KEY)
            monkeypatch.delenv("GEMINI_API_KEY", raising=False)
            return fake

        yield start
