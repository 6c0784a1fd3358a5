"""The card that travels with an exported model."""

from __future__ import annotations

from typing import Any

from federation.coordinator.records import Task


def _simulated(task: Task) -> list[str]:
    if task.simulation is None:
        return []
    wish = task.simulation.wish
    how = f"on one machine, by the engine {task.simulation.engine}; no node took part"
    if wish.attack is not None:
        how += f"; {wish.attackers:g} of the clients attacked: {wish.attack}"
    return [f"| simulated | {how} |"]


def model_card(task: Task, lineage: dict[str, Any]) -> str:
    """Markdown with the Hub's front matter: what was trained, on what, by how many, and how well it does."""
    spec = task.spec
    scores = lineage["metrics"]
    made_of = lineage["made_of"]
    examples = sum(update["num_examples"] for update in made_of)
    lines = [
        "---",
        "library_name: pytorch",
        "tags: [federated-learning, potluck, " + spec.aggregation.rule + "]",
        "---",
        f"# {spec.name}",
        "",
        spec.description or f"`{spec.model.id}` trained by federated learning on `{spec.data.id}`.",
        "",
        "| | |",
        "| --- | --- |",
        f"| model | `{spec.model.id}` {spec.model.options or ''} |",
        f"| input, classes | {list(task.input_shape)}, {task.num_classes} |",
        f"| data | `{spec.data.id}`, {spec.data.partition.kind} partition into {spec.data.partition.parts} |",
        f"| rule | {spec.aggregation.rule}, weighted by {spec.aggregation.weighting_or_default} |",
        f"| version | {lineage['version']} of task `{task.task_id}`, from version {lineage['parent']} |",
        f"| made of | {len(made_of)} updates, {examples} examples |",
        *_simulated(task),
        f"| SHA-256 | `{lineage['sha256']}` |",
    ]
    if "accuracy" in scores:
        lines.append(f"| test accuracy | {scores['accuracy']:.4f} (loss {scores['loss']:.4f}) |")
    if "eval_accuracy" in scores:
        lines.append(f"| accuracy on the nodes' held-out shares | {scores['eval_accuracy']:.4f} |")
    lines += ["", "Load the tensors with `safetensors.torch.load_file(path)`.", ""]
    return "\n".join(lines)
