"""What a node tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal[
    "joined",
    "lost",
    "back",
    "waiting",
    "round",
    "resumed",
    "progress",
    "evaluated",
    "submitted",
    "skipped",
    "trouble",
    "finished",
]
"""`resumed`: work that an earlier process began is gone on with; `trouble`: what is kept on disk cannot be used, or
cannot be kept, which costs work at most."""


@dataclass(frozen=True)
class Event:
    """One thing that happened: `text` for people, `data` for programs. Neither ever holds a token or a signed URL."""

    kind: Kind
    text: str
    data: dict[str, Any] = field(default_factory=dict)


class Tell(Protocol):
    """Tells whoever watches: what kind of event, in words, and in data."""

    def __call__(self, kind: Kind, text: str, **data: Any) -> None: ...


@dataclass(frozen=True)
class Summary:
    """What a node did from joining to leaving: rounds that took its update, examples and steps in them, bytes moved."""

    node_id: str
    rounds: int
    num_examples: int
    num_steps: int
    bytes_up: int
    bytes_down: int
    seconds: float
