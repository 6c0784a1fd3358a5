"""Which base model the adapters of a task are of: every node has to have the very same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class BasePin:
    """A base model, so far as others can check theirs against it.

    Attributes:
        revision: the commit on the Hub; of a folder, what the spec states: there the hashes alone decide.
        sha256: one hash over names and hashes of the weight files.
        tokenizer_sha256: one over the tokenizer's files and the chat template. Of a GGUF file, which holds both, the
            same as `sha256`.
        memory_bytes: what training on it takes, an estimate.
    """

    revision: str | None
    sha256: str
    tokenizer_sha256: str
    memory_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
