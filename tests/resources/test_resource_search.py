from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import OfflineModeIsEnabled

from federation.errors import Refused
from resources.search import search_datasets, search_models


def api(models: list[Any] | None = None, datasets: list[Any] | None = None, calls: list[Any] | None = None) -> HfApi:
    """An HfApi that answers from lists; its lists are lazy, like the real one's."""

    def lister(found: list[Any] | None) -> Any:
        def listed(**question: Any) -> Any:
            if calls is not None:
                calls.append(question)
            return iter((found or [])[: question["limit"]])

        return listed

    return cast(HfApi, SimpleNamespace(list_models=lister(models), list_datasets=lister(datasets)))


def unreachable() -> HfApi:
    def refuse(**question: Any) -> Any:
        yield from ()
        raise OfflineModeIsEnabled("offline")

    return cast(HfApi, SimpleNamespace(list_models=refuse, list_datasets=refuse))


def repository(id: str, **more: Any) -> Any:
    fields = {"downloads": 5, "likes": None, "gated": False, "tags": ["license:mit"], "safetensors": None}
    return SimpleNamespace(id=id, **(fields | more))


LLAMA = repository("acme/tiny-llama", safetensors=SimpleNamespace(total=10**6), gated="manual")


def test_models_that_fit_the_data_come_first_with_their_size_on_it() -> None:
    found = search_models("cnn", data_id="mnist").hits
    assert [hit.id for hit in found[:3]] == ["mnist_cnn", "cifar10_cnn", "mcmahan_cnn"]
    assert found[0].size == "421,642 parameters"
    assert found[0].trainable
    assert found[0].reason == "takes mnist: [1, 28, 28], 10 classes"


def test_a_paper_finds_its_models() -> None:
    assert {hit.id for hit in search_models("fedavg paper").hits[:2]} == {"mcmahan_cnn", "mcmahan_2nn"}


def test_an_empty_query_lists_the_catalogue() -> None:
    assert len(search_models("").hits) == 6
    assert len(search_datasets("").hits) == 5


def test_the_limit_is_kept_and_scores_descend() -> None:
    hits = search_models("perceptron", data_id="digits", limit=3).hits
    assert len(hits) == 3
    assert hits[0].id == "mlp"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_data_sets_are_found_by_what_is_in_them() -> None:
    assert search_datasets("airplane ship").hits[0].id == "cifar10"
    assert search_datasets("handwritten digits no download").hits[0].id == "digits"
    assert search_datasets("mnist").hits[0].size == "60,000 + 10,000 examples"


def test_texts_are_found_and_named_as_what_they_are() -> None:
    found = search_datasets("shakespeare").hits[0]
    assert (found.id, found.size, found.trainable) == ("shakespeare", "27,749 + 3,605 texts", True)
    assert found.reason == "in the catalogue: texts of 1,426 users, for language models hf:..."
    assert search_datasets("speeches of plays").hits[0].id == "shakespeare"


def test_no_model_of_the_catalogue_takes_texts() -> None:
    found = search_models("mlp", data_id="shakespeare").hits
    assert len(found) == 6
    for hit in found:
        assert (hit.trainable, hit.parameters) == (False, None)
        assert hit.reason == "takes numbers, and shakespeare holds texts, for language models hf:..."


def test_unknown_data_is_refused() -> None:
    with pytest.raises(Refused, match="no data set 'imagenet'"):
        search_models("cnn", data_id="imagenet")


def test_the_hub_is_asked_only_on_request() -> None:
    calls: list[Any] = []
    search_models("llama", api=api(calls=calls))
    assert calls == []
    search_models("llama", hub=True, api=api(calls=calls), limit=7)
    assert calls[0]["search"] == "llama"
    assert calls[0]["limit"] == 7


def test_hub_models_are_told_apart_from_what_a_task_can_train() -> None:
    hits = search_models("llama", hub=True, api=api(models=[LLAMA]), limit=20).hits
    (llama,) = [hit for hit in hits if hit.source == "hub"]
    assert (llama.id, llama.trainable, llama.licence, llama.parameters) == ("acme/tiny-llama", False, "mit", 10**6)
    assert "catalogue" in llama.reason
    assert "gated" in llama.reason


def test_a_hub_data_set_of_the_catalogue_is_listed_once() -> None:
    found = [repository("ylecun/mnist"), repository("acme/mnist-2", tags=["size_categories:1K<n<10K"])]
    hits = search_datasets("mnist", hub=True, api=api(datasets=found)).hits
    assert [(hit.id, hit.size) for hit in hits if hit.source == "hub"] == [("acme/mnist-2", "1K<n<10K examples")]


def test_an_unreachable_hub_is_said_and_not_raised() -> None:
    found = search_models("cnn", hub=True, api=unreachable())
    assert found.hub_unavailable == "the Hugging Face Hub could not be asked: OfflineModeIsEnabled"
    assert len(found.hits) == 6
    assert search_datasets("", hub=True, api=unreachable()).hub_unavailable is not None


@pytest.mark.parametrize("search", [search_hub_models, search_hub_datasets])
def test_the_real_client_offline_gives_a_reason(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    answer = search("bert")
    assert answer.entries == ()
    assert "Offline" in answer.unavailable


def test_the_real_client_accepts_our_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    # A renamed or dropped parameter of the client would be a TypeError, and be taken for an unreachable Hub.
    asked: list[tuple[str, dict[str, Any]]] = []

    def paginate(path: str, params: dict[str, Any], headers: Any) -> Any:
        asked.append((path, params))
        return iter([])

    monkeypatch.setattr("huggingface_hub.hf_api.paginate", paginate)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert search_hub_models("bert", 3, api=HfApi(token=False)).unavailable is None
    assert search_hub_datasets("glue", 3, api=HfApi(token=False)).unavailable is None
    (models, question), (datasets, other) = asked
    assert models.endswith("/models")
    assert question["search"] == "bert"
    assert question["filter"] == ["safetensors"]
    assert datasets.endswith("/datasets")
    assert "glue" in other["search"]
