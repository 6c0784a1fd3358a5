"""The round in progress: who trains, who has delivered, who is late or gone."""

from __future__ import annotations

from html import escape

from dashboard.markup import Tone, chip, empty, heading, paragraph, state_chip
from dashboard.watch.reading import Picture, Record
from dashboard.words import many, number, size

_MOST_CARDS = 48


def cohort(seen: Picture) -> str:
    """The round, its clock, its quorum, and a card for each node in it; what it waits for, before it has a cohort."""
    task, current = seen.task, seen.current
    if task is None:
        return ""
    if current is None or (current["state"] == "open" and task["state"] != "running"):
        return empty(*_between_rounds(task, seen))
    title = heading(f"Round {current['round']} in progress", state_chip(current["state"]))
    if current["state"] == "open":
        return title + paragraph(_awaited(task))
    counts = f"{current['submitted']} of {many(current['wanted'], 'update')} wanted · quorum {current['quorum']}"
    counts += ", which is in" if current["submitted"] >= current["quorum"] else ""
    until = current["deadline_at"]
    clock = ""
    if current["state"] == "collecting" and until is not None and not task.get("simulation"):
        clock = f'<p class="small">Deadline in <b data-until="{float(until):.1f}">…</b></p>'
    members = {member["node_id"]: member for member in task.get("nodes") or ()}
    order = {"training": 0, "late": 1, "gone": 2, "has its work": 3, "delivered": 4}
    standing = [(_standing(one, members.get(one["node_id"]), current), one) for one in current["cohort"]]
    standing.sort(key=lambda pair: (order.get(pair[0][0], 5), pair[1]["node_id"]))
    cards = "".join(
        _card(words, tone, one, members.get(one["node_id"]), seen) for (words, tone), one in standing[:_MOST_CARDS]
    )
    more = len(standing) - _MOST_CARDS
    rest = paragraph(f"and {more} more") if more > 0 else ""
    most, count = max(1, current["wanted"]), current["submitted"]
    done = f'<progress max="{most}" value="{count}" aria-label="{escape(counts)}"></progress>'
    return f'{title}<div class="going">{paragraph(counts)}{done}</div>{clock}<ul class="cards">{cards}</ul>{rest}'


def _standing(one: Record, member: Record | None, current: Record) -> tuple[str, Tone]:
    if one["submitted"]:
        return "delivered", "good"
    if member is None:  # a simulated client: no node behind it
        return "has its work", "busy"
    progress = member["progress"]
    trains = bool(progress) and progress.get("round") == current["round"]
    if not member["at_hand"] and not trains:
        return "gone", "bad"
    if current["submitted"] >= current["quorum"]:
        return "late", "wait"
    return ("training", "busy") if trains else ("has its work", "busy")


def _card(words: str, tone: Tone, one: Record, member: Record | None, seen: Picture) -> str:
    name = (member or {}).get("name") or seen.names.get(one["node_id"]) or one["node_id"]
    progress = (member or {}).get("progress") or {}
    lines = ""
    if words in ("training", "late") and progress.get("total_steps"):
        step, steps = int(progress.get("step") or 0), int(progress["total_steps"])
        told = f"step {step:,} of {steps:,}"
        told += f" · loss {number(progress['loss'])}" if progress.get("loss") is not None else ""
        told += f" · {size(progress['memory_bytes'])}" if progress.get("memory_bytes") else ""
        bar = f'<progress max="{steps}" value="{min(step, steps)}" aria-label="{escape(told)}"></progress>'
        lines = bar + f'<p class="small">{told}</p>'
    return f'<li class="card">{heading(name, chip(words, tone), level=3)}{lines}</li>'


def _awaited(task: Record) -> str:
    need = task["spec"]["cohort"]
    here = sum(bool(member["at_hand"]) for member in task.get("nodes") or ())
    return f"It waits for nodes: {here} at hand, at least {max(need['min_nodes'], need['size'] or 0)} needed."


def _between_rounds(task: Record, seen: Picture) -> tuple[str, str]:
    steer = "control_task" in seen.tools
    if task["state"] == "created":
        return "It has not begun", "Start it above." if steer else "An operator starts it."
    if task["state"] == "paused":
        return "It is paused", "Resume it above to go on." if steer else "An operator can resume it."
    if task["state"] == "running":
        return "The next round is about to begin", ""
    return f"It is {task['state']}", "No round is in progress."
