"""The commands with which a machine joins a task, ready for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

PLACEHOLDER = "NODE_TOKEN"
"""Stands in for a token that the visitor does not have."""

SOURCE = "/path/to/potluck"
"""Stands in for where Potluck is on the machine that joins."""

WHENCE = f"Potluck is on no package index yet: {SOURCE} is a checkout of it, or a wheel, on the machine that joins."


def join_line(base: str, task_id: str, token: str = PLACEHOLDER, *more: str) -> str:
    """`potluck join …` for this server and task; every word is quoted as a POSIX shell needs it."""
    return shlex.join(["potluck", "join", base, "--task", task_id, "--token", token, *more])


def lines(base: str, task_id: str, spec: Mapping[str, Any], token: str = PLACEHOLDER) -> str:
    """Every line that fits the task, each under a comment that says what it is for."""
    language = str(spec["model"]["id"]).startswith("hf:")
    own = "texts.jsonl" if language else "my-data.npz"
    found = []
    if spec["data"]["id"] != "own":
        about = "train on a share of the task's own data set"
        found.append((about, join_line(base, task_id, token)))
    found.append(
        (f"train on your own data ({own}: docs say how it is laid out)", join_line(base, task_id, token, "--data", own))
    )
    if language:
        about = "with the base model in a folder, where the Hugging Face Hub is out of reach"
        data = () if spec["data"]["id"] != "own" else ("--data", own)
        found.append((about, join_line(base, task_id, token, *data, "--models", "models")))
    return "\n\n".join(f"# {about}\n{line}" for about, line in found) + "\n"


def install(spec: Mapping[str, Any] | None = None) -> str:
    """What a machine needs to have installed for the task."""
    language = spec is not None and str(spec["model"]["id"]).startswith("hf:")
    return f"pip install '{SOURCE}[llm]'" if language else f"pip install {SOURCE}"
