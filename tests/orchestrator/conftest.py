"""A Gemini that a test scripts, with its key and its address in the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.fake_gemini import KEY, Answer, FakeGemini, Script, Stage, serving_app

Start = Callable[..., FakeGemini]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def _stage() -> Iterator[tuple[Stage, str]]:
    """Where all fakes answer, one after the other, and its base URL."""
    stage = Stage()
    with serving_app(stage) as url:
        yield stage, url


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch, _stage: tuple[Stage, str]) -> Iterator[Start]:
    """Has a fake answer as scripted; both SDKs find it."""
    stage, url = _stage
    with ExitStack() as playing:

        def start(*answers: Answer, script: Script | None = None) -> FakeGemini:
            fake = FakeGemini(*answers, script=script)
            playing.enter_context(stage.playing(fake))
            monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
            monkeypatch.setenv("GOOGLE_API_KEY", KEY)
            monkeypatch.delenv("GEMINI_API_KEY", raising=False)
            return fake

        yield start
