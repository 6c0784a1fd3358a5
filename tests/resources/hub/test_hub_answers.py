"""A Hub whose lists have pages, that refuses, is slow, or is not there."""

from __future__ import annotations

from typing import Any

import pytest

from resources.search import search_datasets, search_models
from tests.resources.fake_hub import FakeHub


def model(id: str) -> dict[str, Any]:
    return {"id": id, "downloads": 1000, "tags": ["transformers", "safetensors"], "pipeline_tag": "text-generation"}


def test_pages_are_followed_up_to_the_limit(hub: FakeHub) -> None:
    hub.listed = [model(f"acme/tiny-{number}") for number in range(9)]
    found = search_models("tiny", hub=True, limit=5)
    assert len(found.hits) == 5
    assert len(hub.questions) == 3  # of two entries each
    assert dict(hub.questions[2])["cursor"] == "4"


def test_a_link_to_another_host_is_not_followed(hub: FakeHub) -> None:
    hub.listed = [model(f"acme/tiny-{number}") for number in range(4)]
    hub.links = "http://127.0.0.1:9"  # where nobody answers: to follow it would be an error
    found = search_models("tiny", hub=True)
    assert found.hub_unavailable is None
    assert [hit.id for hit in found.hits if hit.source == "hub"] == ["acme/tiny-0", "acme/tiny-1"]


def test_a_question_is_asked_once_and_then_answered_from_memory(hub: FakeHub) -> None:
    hub.listed = [model("acme/tiny")]
    first, second = (search_models("tiny", hub=True) for _ in range(2))
    assert first == second
    assert len(hub.questions) == 1


def unavailable(hub: FakeHub) -> str:
    found = search_models("cnn", hub=True)
    assert len(found.hits) == 6  # the catalogue is there whatever the Hub does
    assert found.hub_unavailable is not None
    assert found.hub_unavailable.startswith("the Hugging Face Hub could not be asked: ")
    return found.hub_unavailable


def test_a_hub_that_is_asked_too_often_says_when_and_is_left_alone_until_then(hub: FakeHub) -> None:
    hub.mood = "busy"
    assert "takes no more questions from this address for 42 s (HTTP 429)" in unavailable(hub)
    assert "HTTP 429" in unavailable(hub)
    assert search_datasets("x", hub=True).hub_unavailable is not None
    assert len(hub.questions) == 1


def test_a_hub_out_of_order_is_named(hub: FakeHub) -> None:
    hub.mood = "broken"
    assert "it is out of order (HTTP 503)" in unavailable(hub)


def test_a_hub_that_does_not_answer_is_given_up(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.hub.asking.DEADLINE_S", 0.2)
    hub.mood = "mute"
    assert "it did not answer within 0.2 s" in unavailable(hub)


def test_a_machine_that_is_set_to_be_offline_says_so(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import close_session

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    close_session()
    assert "this machine is set not to (HF_HUB_OFFLINE)" in unavailable(hub)
    assert hub.questions == []


def test_a_hub_that_is_nowhere_is_out_of_reach(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "it is out of reach (ConnectError)" in unavailable(hub)
