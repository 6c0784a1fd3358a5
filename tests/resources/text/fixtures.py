"""The committed sample of Shakespeare's speeches, in a folder laid out as POTLUCK_DATA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from federation.spec import TaskSpec, parse_spec

DATA = Path(__file__).parents[2] / "fixtures"
SPEAKERS = {
    "hamlet/First Clown": (29, 4),
    "macbeth/LADY MACBETH": (53, 6),
    "othello/IAGO": (244, 28),
    "romeo-and-juliet/JULIET": (106, 12),
    "the-tempest/CALIBAN": (45, 5),
    "the-tempest/Mariners": (1, 0),
}
"""How many speeches of each train and test."""


def task(*, model: dict[str, Any] | None = None, evaluation: dict[str, Any] | None = None, **data: Any) -> TaskSpec:
    """A language model's task on the speeches; `data` changes its section."""
    language = {"id": "hf:mine/tiny"} | (model or {})
    section = {"id": "shakespeare", "partition": {"parts": 2}} | data
    return parse_spec({"name": "t", "model": language, "data": section, "evaluation": evaluation or {}})
