"""Rows of the fault matrix, for whoever wants to show it: what was done at which step, and what came of it."""

from __future__ import annotations

import json
import os

VARIABLE = "POTLUCK_FAULT_TABLE"
"""Names the file (JSON lines) that rows are appended to; without it they are only checked, by the test."""


def record(step: str, fault: str, outcome: str) -> None:
    """Notes a row, once the test has seen that it is so."""
    path = os.environ.get(VARIABLE)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "fault": fault, "outcome": outcome}) + "\n")
