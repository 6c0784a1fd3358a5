"""Base models on the Hugging Face Hub: pinned without their weights, fetched once, checked against the pin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from families import make

from federation.base_pin import BasePin
from federation.errors import ErrorCode, Refused
from federation.model_spec import ModelSpec
from resources.models.language import bases
from resources.models.language.tokenizers import load_tokenizer
from tests.resources.fake_hub import FakeHub, reach, served

FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Two revisions: other weights in the second."""
    folder = tmp_path_factory.mktemp("made")
    made = {}
    for commit, seed in ((FIRST, 0), (SECOND, 1)):
        make(folder / commit, seed=seed)
        made[commit] = {path.name: path.read_bytes() for path in (folder / commit).iterdir()}
        made[commit] |= {"README.md": b"# tiny", "pytorch_model.bin": b"pickled"}
    return made


@pytest.fixture
def hub(contents: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The Hub that the client asks, with an empty cache."""
    hub = FakeHub(revisions={commit: dict(files) for commit, files in contents.items()}, branches={"main": FIRST})
    with served(hub):
        reach(monkeypatch, hub.url, tmp_path / "cache")
        yield hub


TINY = ModelSpec(id="hf:acme/tiny")


def test_a_pin_is_the_commit_and_the_hashes_and_downloads_no_weights(hub: FakeHub, tmp_path: Path) -> None:
    pin = bases.pin(TINY, None)
    assert pin.revision == FIRST
    assert not any(name.endswith((".safetensors", ".bin")) for name in hub.fetched())
    for name, data in hub.revisions[FIRST].items():
        (tmp_path / "copy" / "mine").mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / "mine" / name).write_bytes(data)
    of_folder = bases.pin(ModelSpec(id="hf:mine"), tmp_path / "copy")
    assert of_folder == BasePin(None, pin.sha256, pin.tokenizer_sha256)


def test_a_description_has_configuration_and_tokenizer_but_no_weights(hub: FakeHub) -> None:
    folder = bases.describe(TINY, None, bases.pin(TINY, None))
    assert (folder / "config.json").is_file()
    assert load_tokenizer(folder)("To be")["input_ids"]
    assert not (folder / "model.safetensors").exists()


def test_what_is_fetched_is_what_was_pinned_and_it_is_fetched_once(hub: FakeHub) -> None:
    pin = bases.pin(TINY, None)
    hub.branches["main"] = SECOND  # what is new since does not matter
    folder = bases.fetch(TINY, None, pin)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files == {name: data for name, data in hub.revisions[FIRST].items() if name in files}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= set(files)
    assert not {"README.md", "pytorch_model.bin"} & set(files)
    hub.asked.clear()
    assert bases.fetch(TINY, None, pin) == folder
    assert hub.asked == []


def test_what_was_fetched_works_without_the_hub(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = bases.pin(TINY, None)
    folder = bases.fetch(TINY, None, pin)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert bases.fetch(TINY, None, pin) == folder
    assert bases.pin(TINY, None) == pin  # the branch, by its last known commit
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert bases.fetch(TINY, None, pin) == folder
    assert bases.pin(TINY, None) == pin


def test_a_hub_out_of_reach_is_known_at_once_and_the_models_folder_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"it waits for {seconds} s to try again"))
    for ask in (lambda: bases.pin(TINY, None), lambda: bases.fetch(TINY, tmp_path, None)):
        with pytest.raises(Refused, match="cannot be had from the Hugging Face Hub") as caught:
            ask()
        assert caught.value.code is ErrorCode.DATA_UNAVAILABLE
        assert "POTLUCK_MODELS" in caught.value.mend
        assert "acme/tiny" in caught.value.mend


def test_a_hub_lost_between_description_and_weights_is_refused(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = bases.pin(TINY, None)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Refused, match="cannot be had from the Hugging Face Hub") as caught:
        bases.fetch(TINY, None, pin)
    assert caught.value.code is ErrorCode.DATA_UNAVAILABLE


def test_a_gated_model_is_refused_with_the_way_in(hub: FakeHub) -> None:
    hub.gated = True
    with pytest.raises(Refused, match="acme/tiny is gated") as caught:
        bases.fetch(TINY, None, None)
    assert "hf auth login" in caught.value.mend


def test_an_unknown_repository_and_an_unknown_revision_are_told_apart(hub: FakeHub) -> None:
    with pytest.raises(
        Refused, match="acme/none is neither in the models folder nor on the Hugging Face Hub"
    ) as caught:
        bases.pin(ModelSpec(id="hf:acme/none"), None)
    assert caught.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(Refused, match="has no revision v9 on the Hugging Face Hub") as caught:
        bases.pin(ModelSpec(id="hf:acme/tiny", revision="v9"), None)
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: FakeHub) -> None:
    hub.branches["v2"] = SECOND
    by_tag = bases.pin(ModelSpec(id="hf:acme/tiny", revision="v2"), None)
    assert by_tag == bases.pin(ModelSpec(id="hf:acme/tiny", revision=SECOND), None)
    assert by_tag.revision == SECOND
    assert by_tag.sha256 != bases.pin(TINY, None).sha256


def test_other_weights_than_the_pinned_are_refused_with_both_hashes(hub: FakeHub) -> None:
    pin = bases.pin(TINY, None)
    wrong = BasePin(SECOND, pin.sha256, pin.tokenizer_sha256)  # the revision moved, the hashes did not
    found = bases.pin(ModelSpec(id="hf:acme/tiny", revision=SECOND), None)
    with pytest.raises(Refused, match="the weights of acme/tiny at revision 222222222222") as caught:
        bases.fetch(TINY, None, wrong)
    assert caught.value.code is ErrorCode.HASH_MISMATCH
    assert pin.sha256[:12] in caught.value.problem
    assert found.sha256[:12] in caught.value.problem


def test_sharded_weights_are_pinned_and_fetched_whole(hub: FakeHub, tmp_path: Path) -> None:
    make(tmp_path / "sharded", shard="60KB")
    hub.revisions["3" * 40] = {path.name: path.read_bytes() for path in (tmp_path / "sharded").iterdir()}
    hub.branches["main"] = "3" * 40
    shards = [name for name in hub.revisions["3" * 40] if name.endswith(".safetensors")]
    assert len(shards) > 1
    pin = bases.pin(TINY, None)
    assert not set(shards) & set(hub.fetched())
    folder = bases.fetch(TINY, None, pin)
    assert all((folder / name).is_file() for name in [*shards, "model.safetensors.index.json"])
