"""Which files of a pretrained model are its weights and which its tokenizer; what is refused of its configuration."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from federation.errors import ErrorCode, Refused
from resources.models.card import Unbuildable
from resources.models.language.sources import Source

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
TEMPLATE = "chat_template.jinja"
_SLOW = (
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "added_tokens.json",
)
_BESIDE = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", TEMPLATE)
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\.safetensors")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")


def weight_files(source: Source, gguf: str | None) -> list[str]:
    """Names of the files with the weights: safetensors, in one file or many, or the GGUF file `gguf`.

    Raises:
        Unbuildable: there are none, or only in a format that can carry code.
        Refused: BAD_DATA for an index that is no map from tensors to files that are there.
    """
    names = source.names()
    here = sorted(name for name in names if name.endswith(".gguf"))
    if gguf is not None:
        if gguf not in names:
            there = f"it has {', '.join(here)}" if here else "it has no GGUF files"
            raise Unbuildable("model.gguf", f"{source.name} has no file {gguf}", f"{there}; correct or leave out gguf")
        return [gguf]
    if WEIGHTS in names:
        return [WEIGHTS]
    if INDEX in names:
        return _shards(source, names)
    if here:
        raise Unbuildable("model.id", f"{source.name} has its weights in GGUF files only", f"set model.gguf: {here[0]}")
    if any(name.endswith(_PICKLED) for name in names):
        raise Unbuildable(
            "model.id",
            f"{source.name} has its weights as pickled files only, which can carry code",
            "convert them: save_pretrained(folder) of transformers writes safetensors",
        )
    raise Unbuildable("model.id", f"{source.name} has no weights", f"it needs {WEIGHTS}, or {INDEX} and its files")


def tokenizer_files(source: Source) -> list[str]:
    """Names of the files that say how text becomes tokens, without the chat template.

    Raises:
        Unbuildable: there are none.
    """
    names = source.names()
    found = ["tokenizer.json"] if "tokenizer.json" in names else [name for name in _SLOW if name in names]
    if not found:
        raise Unbuildable("model.id", f"{source.name} has no tokenizer", "it needs a tokenizer.json")
    return found


def small_files(source: Source, gguf: str | None) -> list[str]:
    """Names of the files that say what the model is, without its weights."""
    names = source.names()
    if gguf is not None:
        return []
    wanted = (CONFIG, *tokenizer_files(source), *_BESIDE, *((INDEX,) if WEIGHTS not in names else ()))
    return [name for name in wanted if name in names]


def chat_template(source: Source) -> str:
    """The text of the chat template; empty where there is none."""
    names = source.names()
    if TEMPLATE in names:
        return source.path(TEMPLATE).read_text(encoding="utf8")
    if "tokenizer_config.json" not in names:
        return ""
    template = read_json(source, "tokenizer_config.json").get("chat_template", "")
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True)


def text_sha256(text: str) -> str:
    """Of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def combined(hashes: Iterable[tuple[str, str]]) -> str:
    """One hash over names and hashes: SHA-256 of the lines `<hash>  <name>`, sorted by name."""
    lines = [f"{hash}  {name}\n" for name, hash in sorted(hashes)]
    return text_sha256("".join(lines))


def check_config(source: Source, gguf: str | None) -> None:
    """Refuse (Unbuildable) what would need code from the repository, a quantiser's kernels, or another base model."""
    if gguf is not None:
        return
    names = source.names()
    if CONFIG not in names:
        raise Unbuildable("model.id", f"{source.name} has no {CONFIG}", "name a model that transformers can load")
    if "adapter_config.json" in names:
        raise Unbuildable(
            "model.id", f"{source.name} is an adapter, not a base model", "name the base model, or merge the adapter"
        )
    config = read_json(source, CONFIG)
    for name in (CONFIG, "tokenizer_config.json"):
        if name in names and "auto_map" in read_json(source, name):
            raise Unbuildable(
                "model.id",
                f"{source.name} brings code of its own (auto_map in {name}), which Potluck never runs",
                "choose a model whose architecture is part of transformers",
            )
    if "quantization_config" in config:
        raise Unbuildable(
            "model.id", f"{source.name} is quantised", "choose the plain model, or a GGUF file by model.gguf"
        )
    deepest = max((value for key, value in config.items() if "layer" in key and type(value) is int), default=0)
    if deepest > 1000:
        raise Unbuildable("model.id", f"{source.name} states {deepest} layers", "choose a model that exists")


def read_json(source: Source, name: str) -> dict[str, Any]:
    """The JSON object in the file.

    Raises:
        Refused: BAD_DATA when it is none.
    """
    return _object(source.name, source.path(name))


def _object(model: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(ErrorCode.BAD_DATA, f"{model}: {path.name} is no JSON object.", "replace the file")
    return found


def _shards(source: Source, names: frozenset[str]) -> list[str]:
    places = read_json(source, INDEX).get("weight_map")
    mend = "replace the file, or fetch the model again"
    if not isinstance(places, dict) or not places:
        raise Refused(ErrorCode.BAD_DATA, f"{source.name}: {INDEX} has no weight_map.", mend)
    for file in places.values():
        if not isinstance(file, str) or not _SHARD.fullmatch(file):
            raise Refused(ErrorCode.BAD_DATA, f"{source.name}: {INDEX} names a file that is no safetensors file.", mend)
    missing = sorted(set(places.values()) - names)
    if missing:
        problem = f"{source.name}: {len(missing)} of its weight files are missing, {missing[0]} among them."
        raise Refused(ErrorCode.BAD_DATA, problem, mend)
    return sorted(set(places.values()))
