"""A goal in plain words, as wishes."""

from __future__ import annotations

from orchestrator.planning.reading.changes import read_changes
from orchestrator.planning.reading.crowd import read_crowd
from orchestrator.planning.reading.out_of_reach import read_out_of_reach, read_unmet
from orchestrator.planning.reading.rule import read_rule
from orchestrator.planning.reading.schedules import read_schedules
from orchestrator.planning.reading.skew import read_skew
from orchestrator.planning.reading.subject import read_subject
from orchestrator.planning.reading.training import read_training
from orchestrator.planning.reading.wishes import Wishes
from orchestrator.planning.reading.words import LONGEST, Words

_SIMULATE = (
    r"\b(?:(?:quick|fast) )?(?:simulat(?:e|es|ed|ing|ions?)|in silico|dry[- ]runs?|emulat\w+"
    r"|without (?:real|actual) (?:\w+ ){0,1}\w+|virtual(?:ly)?|on (?:one|this|a single|1) (?:machine|computer))\b"
)
_READERS = (
    read_unmet,
    read_schedules,
    read_changes,
    read_rule,
    read_skew,
    read_training,
    read_crowd,
    read_subject,
    read_out_of_reach,
)


def read(goal: str) -> Wishes:
    """The wishes in a goal. Every piece that is none of them is named in the notes."""
    words, wishes = Words(goal), Wishes()
    words.denies(_SIMULATE)
    wishes.simulate = words.says(_SIMULATE)
    wishes.name = words.name
    for reader in _READERS:
        reader(words, wishes)
    wishes.unread = words.unread()
    wishes.notes += [
        f"“{aside}” was read as a name of something that has none here: left out." for aside in words.asides
    ]
    if words.cut:
        wishes.notes.append(f"Only the first {LONGEST} characters were read.")
    if left := words.left():
        pieces = ", ".join(f"“{piece}”" for piece in left[:12])
        more = f" and {len(left) - 12} more pieces" if len(left) > 12 else ""
        wishes.notes.append(f"Not understood, and so without effect: {pieces}{more}.")
    return wishes
