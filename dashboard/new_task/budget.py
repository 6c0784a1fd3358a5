"""What a task costs, and what its start will do, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.markup import paragraph, tiles
from dashboard.words import duration, many, number, size

_FLOPS = 5e9
"""A second on one core of a laptop of today, as PyTorch gets out of it on small models; a phone has a third."""


def budget(figures: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """The server's estimate for people: parameters, bytes a round and node, memory, time."""
    if not figures:
        return ""
    nodes, rounds = _nodes(shown), shown.get("rounds")
    lines = [
        ("Parameters", number(figures["parameters"])),
        ("Model file", size(figures["model_bytes"])),
        ("Memory for training", size(figures["memory_bytes"])),
    ]
    lines.insert(2, ("Traffic a node and round", size(figures["bytes_per_round_per_node"])))
    if figures.get("base_parameters"):
        lines.append(("Base model", f"{number(figures['base_parameters'])} parameters, {size(figures['base_bytes'])}"))
    words = ["The memory for training comes on a node beside about 300 MB of Python and PyTorch."]
    if flops := figures.get("flops_per_round_per_node"):
        seconds = flops / _FLOPS
        lines.append(("Training a round", "under 0.1 s" if seconds < 0.1 else duration(seconds)))
        words.append("The time is for one laptop core at 5 GFLOP/s, a rough figure: nodes differ by tenfold.")
    if nodes and isinstance(rounds, int):
        total = figures["bytes_per_round_per_node"] * nodes * rounds
        words.append(f"All {rounds:,} rounds with {nodes:,} nodes each move about {size(total)}.")
    return tiles(lines) + paragraph(" ".join(words))


def deed(shown: Mapping[str, Any]) -> str:
    """What Start will do, before anybody presses it."""
    nodes, waits = _nodes(shown), shown.get("cohort.min_nodes") or 1
    who = many(nodes, "node") if nodes else f"a share of {shown.get('cohort.fraction')} of the nodes"
    needed = max(nodes or 1, int(waits) if isinstance(waits, int) else 1)
    words = (
        f"Start makes the task “{shown.get('name')}” and opens round 1 of {shown.get('rounds')}. "
        f"It waits until {many(needed, 'node')} {'has' if needed == 1 else 'have'} joined; then {who} a "
        f"round train {shown.get('model.id')} on {shown.get('data.id')}, and {shown.get('aggregation.rule')} puts "
        "their updates together. The server itself only aggregates and scores. You can pause or cancel "
        "it at any time on the tab Federation."
    )
    return paragraph(words, "deed", 900)


def _nodes(shown: Mapping[str, Any]) -> int | None:
    wanted = shown.get("cohort.size")
    return wanted if isinstance(wanted, int) else None
