"""A conversation with a language model as JSON and back, so that a run that was killed goes on in the middle of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.llm.model import Answered, Reply, Said, ToolCall, ToolResult, Turn, Usage


def dumped(history: Sequence[Turn]) -> list[dict[str, Any]]:
    """The turns as JSON; the model's own content as it came."""
    return [{"kind": type(turn).__name__.lower()} | asdict(turn) for turn in history]


def loaded(rows: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """What `dumped` wrote."""
    return [_turn(row) for row in rows]


def _turn(row: Mapping[str, Any]) -> Turn:
    if row["kind"] == "said":
        return Said(row["text"])
    if row["kind"] == "answered":
        return Answered(
            tuple(ToolResult(_call(each["call"]), each["data"], each["is_error"]) for each in row["results"])
        )
    calls = tuple(_call(each) for each in row["calls"])
    return Reply(row["text"], calls, row["content"], Usage(**row["usage"]))


def _call(row: Mapping[str, Any]) -> ToolCall:
    return ToolCall(row["name"], row["arguments"], row["call_id"])
