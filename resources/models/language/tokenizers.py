"""The tokenizer of a base model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from federation.errors import ErrorCode, Refused
from resources.models.language.extra import need_llm


def load_tokenizer(folder: Path, gguf: str | None = None) -> Any:
    """The tokenizer in a folder that `bases.fetch` or `bases.describe` gave, or in its GGUF file; loaded once.

    It pads on the right, with its end-of-text token where it has no padding of its own. Do not change it: it is shared.

    Raises:
        Refused: BAD_DATA when it cannot be read, or needs code of its own.
    """
    files = sorted(folder.glob("*token*")) if gguf is None else [folder / gguf]
    return _load(folder.resolve(), gguf, tuple((file.name, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=4)
def _load(folder: Path, gguf: str | None, _state: tuple[tuple[str, int], ...]) -> Any:
    need_llm()
    from transformers import AutoTokenizer

    where = {} if gguf is None else {"gguf_file": gguf}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **where)
    except Exception as error:  # transformers raises whatever its many readers raise
        raise Refused(
            ErrorCode.BAD_DATA,
            f"the tokenizer in {folder.name} cannot be loaded ({type(error).__name__}: {str(error)[:200]}).",
            "choose a model with a tokenizer.json, or fetch it again",
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer
