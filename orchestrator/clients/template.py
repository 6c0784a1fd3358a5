"""Clients from templates: the task's values go in as Python literals, and nothing else of the task goes in."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal

from federation.spec import TaskSpec

Framework = Literal["pytorch", "flower"]
_FOLDER = Path(__file__).parent / "templates"
_WIDTH = 100
ENTRY: dict[Framework, str] = {"pytorch": "train", "flower": "trainer"}
"""What a client's code calls its training, as a node takes it."""


@dataclass(frozen=True)
class Subject:
    """The task that a client is for."""

    task_id: str
    spec: TaskSpec
    input_shape: tuple[int, ...]
    num_classes: int


def training_of(framework: Framework) -> str:
    """The training function as the template has it."""
    return _read(f"{framework}_train")


def client_of(subject: Subject, framework: Framework, training: str) -> str:
    """The whole file, with this training function in its place."""
    spec = subject.spec
    data: dict[str, Any] = {"id": spec.data.id, "input_shape": list(subject.input_shape)}
    data["num_classes"] = subject.num_classes
    values = {
        "task_id": subject.task_id,
        "name": spec.name,
        "model": spec.model.model_dump(mode="json", exclude_none=True),
        "data": data,
        "training": spec.training.model_dump(mode="json", exclude_none=True),
    }
    literals = {name: literal(value) for name, value in values.items()}
    loss = _read("classes_loss" if spec.model.classifies else "texts_loss")
    # One pass: what is put in is not looked through for further places.
    return Template(_read(framework)).substitute(literals, loss=loss.rstrip(), train=training.strip())


def literal(value: Any) -> str:
    """`value`, plain JSON, as a Python expression that means just that. What does not print is escaped."""
    plain = json.loads(json.dumps(value))
    text = _written(plain, "")
    if ast.literal_eval(text) != plain:
        raise ValueError("a value is not what its literal says")
    return text


def _written(value: Any, indent: str) -> str:
    if not isinstance(value, dict | list):
        return _quoted(value) if isinstance(value, str) else repr(value)
    inner = f"{indent}    "
    if isinstance(value, list):
        parts, (left, right) = [_written(each, inner) for each in value], "[]"
    else:
        parts, (left, right) = [f"{_quoted(name)}: {_written(each, inner)}" for name, each in value.items()], "{}"
    line = f"{left}{', '.join(parts)}{right}"
    if len(indent) + len(line) <= _WIDTH and "\n" not in line:
        return line
    lines = "".join(f"{inner}{part},\n" for part in parts)
    return f"{left}\n{lines}{indent}{right}"


def _quoted(text: str) -> str:
    """As formatters have it: in double quotes, unless there are some in it."""
    shown = repr(text)
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.py.txt").read_text(encoding="utf-8")
