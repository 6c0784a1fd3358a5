from __future__ import annotations

from pathlib import Path

import pytest

from federation.errors import Refused
from resources.search import search_datasets, search_models


def test_models_that_fit_the_data_come_first_with_their_size_on_it() -> None:
    found = search_models("cnn", data_id="mnist").hits
    assert [hit.id for hit in found[:3]] == ["mnist_cnn", "cifar10_cnn", "mcmahan_cnn"]
    assert found[0].size == "421,642 parameters"
    assert found[0].trainable
    assert found[0].reason == "takes mnist: [1, 28, 28], 10 classes"


def test_a_paper_finds_its_models() -> None:
    assert {hit.id for hit in search_models("fedavg paper").hits[:2]} == {"mcmahan_cnn", "mcmahan_2nn"}


def test_an_empty_query_lists_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POTLUCK_DATA", raising=False)
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


def test_the_models_folder_is_listed_with_how_to_train_what_is_in_it(tmp_path: Path) -> None:
    for name, config in (
        ("tiny", '{"model_type": "llama"}'),
        ("acme/odd", '{"model_type": "no-such"}'),
        ("none", None),
    ):
        (tmp_path / name).mkdir(parents=True)
        if config is not None:
            (tmp_path / name / "config.json").write_text(config)
    hits = {hit.id: hit for hit in search_models("tiny", folder=tmp_path, limit=50).hits if hit.source == "folder"}
    assert hits.keys() == {"hf:tiny", "hf:acme/odd"}
    assert hits["hf:tiny"].trainable
    assert hits["hf:tiny"].reason == 'in the models folder: train adapters of it (LoRA): model {"id": "hf:tiny"}'
    assert search_models("tiny", folder=tmp_path).hits[0].id == "hf:tiny"


def test_a_language_model_is_not_for_images(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{")
    found = {hit.id: hit for hit in search_models("tiny", data_id="digits", folder=tmp_path, limit=50).hits}
    assert not found["hf:tiny"].trainable
    assert "takes texts, and digits holds numbers" in found["hf:tiny"].reason


def test_the_data_folder_is_listed_but_for_what_the_catalogue_has(tmp_path: Path) -> None:
    for name in (
        "acme/things/train.parquet",
        "ylecun/mnist/mnist/train-00000-of-00001.parquet",
        "acme/empty/README.md",
    ):
        (tmp_path / "hub" / name).parent.mkdir(parents=True)
        (tmp_path / "hub" / name).touch()
    hits = [hit for hit in search_datasets("things", folder=tmp_path).hits if hit.source == "folder"]
    assert [hit.id for hit in hits] == ["hf:acme/things"]
    assert 'data {"id": "hf:acme/things"}' in hits[0].reason
