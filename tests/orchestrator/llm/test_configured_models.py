"""Which language model there is, by settings, keys and extras."""

from __future__ import annotations

import sys

import pytest

from federation.errors import ErrorCode, Refused
from orchestrator.llm.configured import LlmChoice, language_model
from orchestrator.llm.gemini import Gemini


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_key_there_is_none_by_default() -> None:
    assert language_model(LlmChoice()) is None


@pytest.mark.parametrize("name", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
def test_with_either_key_it_is_gemini_by_the_name_that_was_chosen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret")
    model = language_model(LlmChoice(model="gemini-4-argon"))
    assert isinstance(model, Gemini)
    assert model.name == "gemini-4-argon"


def test_none_is_none_even_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "secret")
    assert language_model(LlmChoice("none")) is None


def test_with_a_key_and_without_the_extra_there_is_none_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "secret")
    monkeypatch.setitem(sys.modules, "google.genai", None)
    assert language_model(LlmChoice()) is None
    with pytest.raises(Refused, match="google-genai is not installed") as caught:
        language_model(LlmChoice("gemini"))
    assert "potluck-fl[gemini]" in caught.value.mend


@pytest.mark.parametrize("provider", ["gemini", "gemini-legacy"])
def test_a_provider_that_was_asked_for_needs_a_key(provider: str) -> None:
    with pytest.raises(Refused, match="has no key") as caught:
        language_model(LlmChoice(provider))  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert "GOOGLE_API_KEY" in caught.value.mend


def test_the_retired_sdk_is_an_extra_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "secret")
    monkeypatch.setitem(sys.modules, "google.generativeai", None)
    with pytest.raises(Refused, match="google-generativeai is not installed") as caught:
        language_model(LlmChoice("gemini-legacy"))
    assert "potluck-fl[gemini-legacy]" in caught.value.mend
