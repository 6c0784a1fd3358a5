"""What somebody wants, as far as their words say it; nothing is decided here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Crowd = Literal["phones", "organisations", "nodes"]


@dataclass(frozen=True)
class Stated:
    """A value that the words name, and the words."""

    value: Any
    words: str

    @property
    def why(self) -> str:
        """The reason for it."""
        return f"you said “{self.words}”"


@dataclass
class Wishes:
    """Every wish that was recognised.

    Attributes:
        stated: by dotted field of the spec, what was named outright.
        nodes: how many take part, and what they are called.
        per_round, share: how many of them a round, or which share.
        drop_out: share that may vanish in a round; 0: some, nobody said how many.
        skew: how unlike the nodes' data are: none, some, much; None: nothing was said.
        skew_kind: the cut that was named.
        attackers, attacker_share: Byzantine nodes, of all.
        robust: whether they are to be withstood; False: it was said that they need not.
        rules: named ones, in order.
        total_s: within which everything is to be over.
        changes: for a spec that is there: field → factor.
        notes: what has to be said beside the plan.
    """

    stated: dict[str, Stated] = field(default_factory=dict)
    nodes: Stated | None = None
    crowd: Crowd = "nodes"
    crowd_word: str = "nodes"
    per_round: Stated | None = None
    share: Stated | None = None
    drop_out: float | None = None
    skew: Literal["none", "some", "much", "little"] | None = None
    skew_words: str = ""
    skew_kind: Literal["dirichlet", "shards", "natural"] | None = None
    attackers: Stated | None = None
    attacker_share: Stated | None = None
    attacks: bool = False
    robust: bool | None = None
    rules: list[Stated] = field(default_factory=list)
    denied_rules: list[str] = field(default_factory=list)
    data: Stated | None = None
    model: Stated | None = None
    texts: bool = False
    classifies_texts: bool = False
    images: bool = False
    shape: tuple[int, ...] | None = None
    classes: int | None = None
    total_s: Stated | None = None
    simulate: bool = False
    changes: dict[str, Stated] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def state(self, path: str, value: Any, found: re.Match[str]) -> None:
        """Notes a value that was named; of two, the first stands, and the other is said."""
        before = self.stated.get(path)
        if before is not None:
            if before.value != value:
                words = f"“{before.words}” and “{quoted(found)}” contradict each other ({path}); the first stands."
                self.notes.append(words)
            return
        self.stated[path] = Stated(value, quoted(found))

    def value(self, path: str, default: Any = None) -> Any:
        """What was named for a field."""
        return self.stated[path].value if path in self.stated else default


def quoted(found: re.Match[str]) -> str:
    """The words of a match, for a reason."""
    return found[0].strip(" ,.;:")[:80]


def number(text: str) -> int | float:
    """A number in digits; a whole one as an int."""
    value = float(text)
    return int(value) if value.is_integer() and "e" not in text else value
