"""The last word: the best version's score, and what the stored numbers say of the training."""

from __future__ import annotations

from federation.errors import Refused
from orchestrator.summary.summary import summary_of
from potluck.agent.person import Person
from potluck.agent.server import Server, View


async def report(server: Server, person: Person, task: View) -> None:
    """Scores the best version, and prints the summary and how to take the model away."""
    task_id = str(task["task_id"])
    best = task["best"].get("version")
    version = task["version"] if best is None else best
    if version and "evaluate_model" in server.tools:
        try:
            scores = await server.call("evaluate_model", task_id=task_id, version=version)
            person.does(f"evaluate_model version={version}: {_scored(scores)}")
        except Refused as refused:
            person.say(f"version {version} is not scored on the server: {refused.problem}")
    if "summarize_training" in server.tools:
        person.does("summarize_training")
        told = await server.call("summarize_training", task_id=task_id)
        text, notes = str(told["text"]), told.get("notes") or []
    else:
        text, notes = summary_of(await server.training(task)).text, []
    person.say(f"\n{text}")
    for note in notes:
        person.say(f"note: {note}")
    if version:
        person.say(f"to take the model away: potluck export {server.url} {task_id} OUT --version {version}")


def _scored(scores: View) -> str:
    named = {name: scores[name] for name in ("accuracy", "loss", "perplexity") if scores.get(name) is not None}
    return ", ".join(f"{name} {value:.4f}" for name, value in named.items())
