"""Base models in folders below the models folder: found, pinned, checked, and what is refused of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from families import TINY_LLAMA, make

from federation.base_pin import BasePin
from federation.errors import ErrorCode, Refused
from federation.model_spec import ModelSpec
from resources.models.card import Unbuildable
from resources.models.language import bases, sources
from resources.models.language.bases import Base

MINE = ModelSpec(id="hf:mine/tiny")


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_folder_comes_before_the_hub(tmp_path: Path) -> None:
    assert bases.resolve(MINE, tmp_path) == Base("mine/tiny", None)
    (tmp_path / "mine" / "tiny").mkdir(parents=True)
    assert bases.resolve(MINE, tmp_path) == Base("mine/tiny", tmp_path / "mine" / "tiny")
    assert bases.resolve(MINE, None) == Base("mine/tiny", None)


def test_a_name_that_can_only_be_a_folders_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(Unbuildable, match="there is no folder a/b/c") as caught:
        bases.resolve(ModelSpec(id="hf:a/b/c"), tmp_path)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert "POTLUCK_MODELS" in caught.value.mend


def test_a_pin_is_one_hash_over_the_weights_and_one_over_the_tokenizer(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine" / "tiny")
    pin = bases.pin(MINE, tmp_path)
    weights = f"{_sha((folder / 'model.safetensors').read_bytes())}  model.safetensors\n"
    template = f"{_sha((folder / 'chat_template.jinja').read_bytes())}  chat_template.jinja\n"
    words = f"{_sha((folder / 'tokenizer.json').read_bytes())}  tokenizer.json\n"
    assert pin == BasePin(None, _sha(weights.encode()), _sha((template + words).encode()))


def test_a_pin_takes_the_weights_name_but_not_their_values_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "mine" / "tiny")
    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", lambda *_, **__: pytest.fail("it loads"))
    monkeypatch.setattr("safetensors.torch.load_file", lambda *_, **__: pytest.fail("it loads"))
    assert bases.pin(MINE, tmp_path).sha256


def test_a_file_is_hashed_again_only_when_it_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "mine" / "tiny")
    pin = bases.pin(MINE, tmp_path)
    read: list[str] = []
    whole = hashlib.file_digest

    def counted(file: object, algorithm: str) -> object:
        read.append(str(file))
        return whole(file, algorithm)  # type: ignore[arg-type]

    monkeypatch.setattr(sources.hashlib, "file_digest", counted)
    assert bases.fetch(MINE, tmp_path, pin) == tmp_path / "mine" / "tiny"
    assert read == []
    make(tmp_path / "mine" / "tiny", seed=1)
    with pytest.raises(Refused, match="the weights of mine/tiny have SHA-256"):
        bases.fetch(MINE, tmp_path, pin)
    assert any("model.safetensors" in name for name in read)


def test_other_weights_and_another_tokenizer_are_refused_apart(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine" / "tiny")
    pin = bases.pin(MINE, tmp_path)
    assert bases.fetch(MINE, tmp_path, pin) == folder
    with pytest.raises(Refused, match=r"the weights of .* where the task wants 0000") as caught:
        bases.fetch(MINE, tmp_path, BasePin("5" * 40, "0" * 64, pin.tokenizer_sha256))
    assert caught.value.code is ErrorCode.HASH_MISMATCH
    assert pin.sha256[:12] in caught.value.problem
    assert "revision 555555555555" in caught.value.mend
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf8")
    with pytest.raises(Refused, match=r"the tokenizer of mine/tiny has SHA-256 .* where the task wants") as caught:
        bases.fetch(MINE, tmp_path, pin)
    assert caught.value.code is ErrorCode.HASH_MISMATCH
    assert pin.tokenizer_sha256[:12] in caught.value.problem


def test_a_chat_template_within_the_tokenizers_configuration_is_the_same_template(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine" / "tiny")
    pin = bases.pin(MINE, tmp_path)
    text = (folder / "chat_template.jinja").read_text(encoding="utf8")
    (folder / "chat_template.jinja").unlink()
    stated = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(stated | {"chat_template": text}), encoding="utf8")
    assert bases.pin(MINE, tmp_path) == pin


def test_sharded_weights_are_pinned_by_every_shard(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine" / "tiny", shard="60KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    lines = "".join(f"{_sha(shard.read_bytes())}  {shard.name}\n" for shard in shards)
    assert bases.pin(MINE, tmp_path).sha256 == _sha(lines.encode())
    shards[0].unlink()
    with pytest.raises(Refused, match=f"1 of its weight files are missing, {shards[0].name} among them"):
        bases.fetch(MINE, tmp_path, None)


@pytest.mark.parametrize("index", ["[]", "{", "{}", '{"weight_map": {"a": "../../etc/x.safetensors"}}'])
def test_an_index_that_is_no_map_to_files_is_refused(tmp_path: Path, index: str) -> None:
    folder = make(tmp_path / "mine" / "tiny")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf8")
    with pytest.raises(Refused, match=r"model\.safetensors\.index\.json") as caught:
        bases.pin(MINE, tmp_path)
    assert caught.value.code is ErrorCode.BAD_DATA


def _set(name: str, **values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        stated = json.loads((folder / name).read_text(encoding="utf8"))
        (folder / name).write_text(json.dumps(stated | values), encoding="utf8")

    return change


def _as(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_as("pytorch_model.bin"), "pickled files only, which can carry code"),
        (_as("weights.pt"), "pickled files only, which can carry code"),
        (_as("small.gguf"), "GGUF files only"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "is an adapter, not a base model"),
        (_set("config.json", auto_map={"AutoModelForCausalLM": "mine.Mine"}), "brings code of its own"),
        (_set("tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.Mine", None]}), "brings code of its own"),
        (_set("config.json", quantization_config={"quant_method": "gptq"}), "is quantised"),
        (_set("config.json", num_hidden_layers=10**9), "states 1000000000 layers"),
    ],
)
def test_what_potluck_does_not_load_is_refused_in_words(
    tmp_path: Path, change: Callable[[Path], object], problem: str
) -> None:
    change(make(tmp_path / "mine" / "tiny"))
    for ask in (lambda: bases.pin(MINE, tmp_path), lambda: bases.fetch(MINE, tmp_path, None)):
        with pytest.raises(Unbuildable, match=problem) as caught:
            ask()
        assert caught.value.field == "model.id"


def test_an_unknown_gguf_file_is_refused_with_those_there_are(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine" / "tiny")
    (folder / "tiny.Q8_0.gguf").write_bytes(b"GGUF")
    with pytest.raises(Unbuildable, match=r"has no file other\.gguf") as caught:
        bases.pin(ModelSpec(id="hf:mine/tiny", gguf="other.gguf"), tmp_path)
    assert "tiny.Q8_0.gguf" in caught.value.mend


def test_links_out_of_the_models_folder_are_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "models", make(tmp_path / "outside")
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "tiny").symlink_to(outside)
    with pytest.raises(Refused, match="leads out of the models folder") as caught:
        bases.fetch(MINE, root, None)
    assert caught.value.code is ErrorCode.FORBIDDEN
    (root / "mine" / "tiny").unlink()
    (make(root / "mine" / "tiny") / "model.safetensors").unlink()
    (root / "mine" / "tiny" / "model.safetensors").symlink_to(outside / "model.safetensors")
    for ask in (lambda: bases.pin(MINE, root), lambda: bases.fetch(MINE, root, None)):
        with pytest.raises(Refused, match=r"model\.safetensors is a link that leads out") as caught:
            ask()
        assert caught.value.code is ErrorCode.FORBIDDEN


def test_links_within_the_models_folder_are_followed(tmp_path: Path) -> None:
    make(tmp_path / "store")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tiny").symlink_to(tmp_path / "store")
    assert bases.fetch(MINE, tmp_path, bases.pin(MINE, tmp_path)) == tmp_path / "mine" / "tiny"


def test_the_committed_tiny_llama_is_small_and_is_one() -> None:
    assert sum(path.stat().st_size for path in TINY_LLAMA.iterdir()) < 2_500_000
    assert bases.fetch(ModelSpec(id="hf:tiny_llama"), TINY_LLAMA.parent, None) == TINY_LLAMA


def test_without_the_extra_the_refusal_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.models.language import extra

    make(tmp_path / "mine" / "tiny")
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    extra.need_llm.cache_clear()
    with pytest.raises(Refused, match=r"not installed here") as caught:
        bases.pin(MINE, tmp_path)
    assert caught.value.mend == "pip install 'potluck-fl[llm]'"
