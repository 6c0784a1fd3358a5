"""The list of tasks, the nodes at hand, and a task at a glance."""

from __future__ import annotations

from html import escape

from dashboard.markup import chip, empty, heading, notice, paragraph, state_chip, tiles
from dashboard.watch.reading import Picture, Record
from dashboard.words import many, number, percent, said, size, tame

_MOST_TASKS, _MOST_NODES = 60, 40


def choices(seen: Picture) -> list[tuple[str, str]]:
    """The tasks as entries of a list: a name, and below it where the task stands. The chosen one is among them."""
    listed = list(seen.tasks[:_MOST_TASKS])
    if seen.task is not None:
        listed += [task for task in seen.tasks[_MOST_TASKS:] if task["task_id"] == seen.task["task_id"]]
    return [(f"{tame(task['name'], 60)}\n{_standing(task)}", str(task["task_id"])) for task in listed]


def _standing(task: Record) -> str:
    words = [str(task["state"]), f"round {task['round']} of {task['num_rounds']}"]
    if task.get("accuracy") is not None:
        words.append(percent(task["accuracy"]))
    elif task.get("loss") is not None:
        words.append(f"loss {number(task['loss'])}")
    return " · ".join([*words, *(["simulated"] if task.get("simulated") else [])])


def beside_tasks(seen: Picture) -> str:
    """What is said in the place of the list, or above a part of it."""
    if not (seen.tasks and seen.sees):
        return no_tasks(seen)
    more = len(seen.tasks) - _MOST_TASKS
    return paragraph(f"The newest {_MOST_TASKS}, and {more} more: find those by a word.") if more > 0 else ""


def no_tasks(seen: Picture) -> str:
    """Why there is no task to see."""
    if not seen.sees:
        return empty(
            "Nothing to see without a token", "Sign in at the top of the page with a viewer’s or operator’s token."
        )
    if seen.unfiltered:
        return empty("No task fits the filter")
    if "create_task" in seen.tools:
        return empty("No task yet", "Start one in the tab New task, or try an idea out in Simulate.")
    return empty("No task yet", "An operator starts one. It appears here by itself.")


def nodes(seen: Picture) -> str:
    """Who is at hand."""
    if not seen.sees:
        return ""
    here = [node for node in seen.nodes if any(task["at_hand"] for task in node["tasks"])]
    away = len(seen.nodes) - len(here)
    title = heading("Nodes", chip(f"{len(here)} online", "good" if here else ""), level=2)
    if not here:
        return title + paragraph("None is online. The tab Join shows how one joins.")
    cards = "".join(_node(node) for node in here[:_MOST_NODES])
    more = len(here) - _MOST_NODES
    rest = [many(more, "more online", "more online")] if more > 0 else []
    rest += [f"{away} known but away"] if away else []
    return f'{title}<ul class="names">{cards}</ul>' + (paragraph(", ".join(rest) + ".") if rest else "")


def _node(node: Record) -> str:
    able = node["capabilities"]
    device = " · ".join(tame(able[name], 60) for name in ("runtime", "device") if able.get(name))
    memory = f" · {size(able['memory_bytes'])}" if able.get("memory_bytes") else ""
    return (
        f'<li><span class="cut">{said(node["name"] or node["node_id"], 80)}</span>'
        f'<span class="small cut">{said(device + memory)}</span></li>'
    )


def glance(seen: Picture) -> str:
    """The chosen task: its state and its figures."""
    task = seen.task
    if task is None:
        return no_tasks(seen)
    chips = state_chip(task["state"])
    if task.get("simulation"):
        chips += chip("simulated: nobody’s data, no nodes", "wait")
    spec, best = task["spec"], task["best"]
    figures = [("Round", f"{task['round']} of {task['num_rounds']}"), ("Current model", f"v{task['version']}")]
    figures += _scores(task)
    if best:
        score = percent(best["accuracy"]) if best.get("accuracy") is not None else f"loss {number(best.get('loss'))}"
        figures.append(("Best model", f"v{best['version']}: {score}"))
    figures.append(("Model size", size(task["model"]["size"])))
    rule = spec["aggregation"]["rule"]
    line = f"{spec['model']['id']} on {spec['data']['id']}, by {rule} · {task['task_id']}"
    reason = notice(f"Why it is {task['state']}", task["reason"]) if task["reason"] else ""
    return heading(task["name"], chips) + paragraph(line) + tiles(figures) + reason + _simulated(task)


def _scores(task: Record) -> list[tuple[str, str]]:
    last = next((each for each in reversed(task["rounds"]) if each["version"] == task["version"]), None)
    scores = {"accuracy": last["accuracy"], "loss": last["loss"]} if last else task["initial_scores"]
    found = []
    if scores.get("accuracy") is not None:
        found.append(("Accuracy", percent(scores["accuracy"])))
    if scores.get("loss") is not None:
        found.append(("Loss", number(scores["loss"])))
    return found


def _simulated(task: Record) -> str:
    how = task.get("simulation")
    if not how:
        return ""
    attack = f", {percent(how['attackers'])} of them attack by {how['attack']}" if how.get("attack") else ""
    words = f"{many(how['clients'], 'client')} by the engine {how['engine'] or 'of its choice'}{attack}."
    progress = how.get("progress")
    if not progress:
        return paragraph(words)
    if progress["waits_for"]:
        return paragraph(words) + paragraph(f"It waits: {many(progress['waits_for'], 'simulation')} before it.")
    done, all_ = progress["clients_trained"] or 0, progress["clients_selected"] or 0
    label = f"Round {progress['round']}: {done} of {all_} clients have trained"
    bar = f'<progress max="{max(1, all_)}" value="{done}" aria-label="{escape(label)}"></progress>'
    return paragraph(words) + f'<div class="going">{paragraph(label)}{bar}</div>'
