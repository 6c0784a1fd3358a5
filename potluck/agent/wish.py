"""What a person asks the agent for, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Exit(IntEnum):
    """Exit codes of `potluck agent`; a refusal and a lost server are 1, wrong usage 2, as of every command."""

    DONE = 0
    """The task is over and reported on; or --dry-run has planned."""
    FAILED = 1
    PAUSED = 3
    """The task is paused: it is not over, and can be gone on with."""
    UNANSWERED = 4
    """A question had nobody to answer it; nothing that it was about was done."""
    DECLINED = 5
    """The person said no to making the task."""


@dataclass(frozen=True)
class Wish:
    """The command's options.

    Attributes:
        goal: in plain words; empty where an earlier run is resumed.
        nodes: node processes to start on this machine.
        most_questions: after so many the agent stops, to be resumed; None: no bound.
        llm: a language model steers, with what it may spend.
    """

    url: str
    goal: str = ""
    yes: bool = False
    dry_run: bool = False
    nodes: int = 0
    simulate: bool = False
    resume: bool = False
    state_file: Path | None = None
    qr: bool = False
    most_questions: int | None = None
    transport: str = "http"
    ca_file: Path | None = None
    llm: bool = False
    llm_model: str | None = None
    llm_turns: int = 40
    llm_tokens: int = 400_000
