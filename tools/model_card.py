"""The card that travels with an exported model."""

from __future__ import annotations

import json
from typing import Any

from federation.coordinator.records import Task
from federation.data_spec import DataSpec
from federation.model_spec import HF


def _simulated(task: Task) -> list[str]:
    if task.simulation is None:
        return []
    wish = task.simulation.wish
    how = f"on one machine, by the engine {task.simulation.engine}; no node took part"
    if wish.attack is not None:
        how += f"; {wish.attackers:g} of the clients attacked: {wish.attack}"
    return [f"| simulated | {how} |"]


def _base_of(task: Task) -> list[str]:
    """The Hub's front matter for adapters."""
    if not task.spec.model.pretrained:
        return []
    task_type = "text-classification" if task.spec.model.classifies else "text-generation"
    return [f"base_model: {json.dumps(task.spec.model.id.removeprefix(HF))}", f"pipeline_tag: {task_type}"]


def _adapters(task: Task) -> list[str]:
    if task.base is None:
        return []
    lora, revision = task.spec.model.adapters, task.base.revision or "a folder of the server's"
    where = lora.target_modules if isinstance(lora.target_modules, str) else ", ".join(lora.target_modules)
    return [
        f"| base | revision {revision}, weights `{task.base.sha256}` |",
        f"| adapters | rank {lora.r}, scaling {lora.scaling:g}, modules: {where} |",
    ]


def _loading(task: Task, merged: bool) -> str:
    if not task.spec.model.pretrained:
        return "Load the tensors with `safetensors.torch.load_file(path)`."
    model = "AutoModelForSequenceClassification" if task.spec.model.classifies else "AutoModelForCausalLM"
    if merged:
        lines = [f"from transformers import {model}", "", f'model = {model}.from_pretrained("this folder")']
        return "\n".join(["```python", *lines, "```"])
    options = [json.dumps(task.spec.model.id.removeprefix(HF))]
    if task.base is not None and task.base.revision is not None:
        options.append(f"revision={json.dumps(task.base.revision)}")
    if task.spec.model.classifies:
        options.append(f"num_labels={task.num_classes}")
    lines = ["from peft import PeftModel", f"from transformers import {model}", ""]
    lines += [f"base = {model}.from_pretrained({', '.join(options)})"]
    lines += ['model = PeftModel.from_pretrained(base, "this folder")']
    return "\n".join(["```python", *lines, "```"])


def _data(data: DataSpec) -> str:
    commit = "" if data.pin is None or data.pin.revision is None else f" at `{data.pin.revision}`"
    return f"`{data.id}`{commit}, {data.partition.kind} partition into {data.partition.parts}"


def model_card(task: Task, lineage: dict[str, Any], *, merged: bool = False) -> str:
    """Markdown with the Hub's front matter: what was trained, on what, by how many, and how well it does.

    Args:
        merged: of the whole model with the adapters merged in, instead of the adapters.
    """
    spec = task.spec
    scores = lineage["metrics"]
    made_of = lineage["made_of"]
    examples = sum(update["num_examples"] for update in made_of)
    lines = [
        "---",
        f"library_name: {'pytorch' if not spec.model.pretrained else 'transformers' if merged else 'peft'}",
        *_base_of(task),
        f"tags: [federated-learning, potluck, {'lora, ' if spec.model.pretrained else ''}{spec.aggregation.rule}]",
        "---",
        f"# {spec.name}",
        "",
        spec.description or f"`{spec.model.id}` trained by federated learning on `{spec.data.id}`.",
        "",
        "| | |",
        "| --- | --- |",
        f"| model | {' '.join(filter(None, [f'`{spec.model.id}`', str(spec.model.options or '')]))} |",
        *_adapters(task),
        f"| input, classes | {list(task.input_shape)}, {task.num_classes} |",
        f"| data | {_data(spec.data)} |",
        f"| rule | {spec.aggregation.rule}, weighted by {spec.aggregation.weighting_or_default} |",
        f"| version | {lineage['version']} of task `{task.task_id}`, from version {lineage['parent']} |",
        f"| made of | {len(made_of)} updates, {examples} examples |",
        *_simulated(task),
        f"| SHA-256{' of the adapters' if merged else ''} | `{lineage['sha256']}` |",
    ]
    if "perplexity" in scores:
        lines.append(f"| test perplexity | {scores['perplexity']:.3f} (loss {scores['loss']:.4f}) |")
    if "eval_perplexity" in scores:
        lines.append(f"| perplexity on the nodes' held-out shares | {scores['eval_perplexity']:.3f} |")
    if "accuracy" in scores:
        lines.append(f"| test accuracy | {scores['accuracy']:.4f} (loss {scores['loss']:.4f}) |")
    if "eval_accuracy" in scores:
        lines.append(f"| accuracy on the nodes' held-out shares | {scores['eval_accuracy']:.4f} |")
    lines += ["", _loading(task, merged), ""]
    return "\n".join(lines)
