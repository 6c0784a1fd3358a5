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
        drop_count: how many may vanish.
        skew: how unlike the nodes' data are: none, some, much; None: nothing was said.
        skew_kind: the cut that was named.
        attackers, attacker_share: Byzantine nodes, of all.
        robust: whether they are to be withstood; False: it was said that they need not.
        rules: named ones, in order.
        total_s: within which everything is to be over.
        changes, additions: for a spec that is there: field → factor, and field → how many more.
        name: that was given in quotes.
        attack: which one is to be simulated.
        contradicted: field → values that were named beside the one that stands.
        unread: clauses with numbers that were not understood, and the values that these may have.
        unmet: what was asked for that no task here does, so that no plan can be what is wanted.
        unknown_data: a data set that is not in the catalogue, with what can be done about it.
        notes: what has to be said beside the plan.
    """

    stated: dict[str, Stated] = field(default_factory=dict)
    nodes: Stated | None = None
    crowd: Crowd = "nodes"
    crowd_word: str = "nodes"
    per_round: Stated | None = None
    share: Stated | None = None
    drop_out: float | None = None
    drop_count: int | None = None
    skew: Literal["none", "some", "much", "little"] | None = None
    skew_words: str = ""
    skew_kind: Literal["dirichlet", "shards", "natural"] | None = None
    attackers: Stated | None = None
    attacker_share: Stated | None = None
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
    additions: dict[str, Stated] = field(default_factory=dict)
    name: str | None = None
    attack: str | None = None
    contradicted: dict[str, list[Any]] = field(default_factory=dict)
    unread: list[tuple[str, frozenset[float]]] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    unknown_data: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def state(self, path: str, value: Any, found: re.Match[str]) -> None:
        """Notes a value that was named; of two, the first stands, and the other is said."""
        before = self.stated.get(path)
        if before is not None:
            if before.value != value:
                self.contradicted.setdefault(path, []).append(value)
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
