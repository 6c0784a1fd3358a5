"""Which base model the adapters of a task are of: every node has to have the very same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class BasePin:
    """A base model, so far as others can check theirs against it.

    Attributes:
        revision: the commit on the Hub; None for a folder.
        sha256: over the names and hashes of the files of weights.
        tokenizer_sha256: the same of the tokenizer's files.
        memory_bytes: what training on it takes, an estimate.
    """

    revision: str | None
    sha256: str
    tokenizer_sha256: str
    memory_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
