from __future__ import annotations

import ast
from typing import Any

import pytest

from federation.spec import parse_spec
from orchestrator.clients.checking import check_code
from orchestrator.clients.template import Framework, Subject, client_of, literal, training_of

HOSTILE = [
    '"; import os; os.system("id") #',
    "'; import os #",
    "'''\"\"\"",
    "\\",
    "\\' + __import__('os').name + \\'",
    "{evil} $train ${loss} %s",
    "line\nTASK_ID = 1\r\n",
    "\u202e\u2028\x85 # \ud7ff",
    "```\nimport os",
]
FRAMEWORKS: list[Framework] = ["pytorch", "flower"]


def subject(**changes: Any) -> Subject:
    spec = {"name": "digits", "model": {"id": "mlp"}, "data": {"id": "digits"}, "training": {"epochs": 2}} | changes
    return Subject("task-abcdefghijklmnop", parse_spec(spec), (1, 8, 8), 10)


def constants(code: str) -> dict[str, Any]:
    """What a client's code assigns in capitals, by evaluating nothing but literals."""
    assigned = [node for node in ast.parse(code).body if isinstance(node, ast.Assign)]
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in assigned
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
    }


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_client_states_its_task_and_passes_its_own_check(framework: Framework) -> None:
    code = client_of(subject(), framework, training_of(framework))
    found = constants(code)
    assert found["TASK_ID"] == "task-abcdefghijklmnop"
    assert (found["NAME"], found["MODEL"]["id"]) == ("digits", "mlp")
    assert found["DATA"] == {"id": "digits", "input_shape": [1, 8, 8], "num_classes": 10}
    assert found["TRAINING"]["epochs"] == 2
    assert check_code(code, framework) == []


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_no_name_breaks_out_of_its_literal(framework: Framework, text: str) -> None:
    plain = client_of(subject(), framework, training_of(framework))
    crafted = subject()
    object.__setattr__(crafted.spec, "name", text)  # a spec refuses some of these, and need not
    object.__setattr__(crafted.spec.model, "options", {text: text})
    code = client_of(crafted, framework, training_of(framework))
    assert constants(code)["NAME"] == text
    assert constants(code)["MODEL"]["options"] == {text: text}
    same = [type(node) for node in ast.parse(code).body]
    assert same == [type(node) for node in ast.parse(plain).body]
    assert check_code(code, framework) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_literal_means_its_value_and_shows_no_character_that_cannot_be_seen(text: str) -> None:
    shown = literal({text: [text, 1.5, None, True]})
    assert ast.literal_eval(shown) == {text: [text, 1.5, None, True]}
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_a_model_that_writes_is_trained_on_its_next_tokens() -> None:
    task = subject(model={"id": "hf:acme/tiny"}, data={"id": "shakespeare"})
    code = client_of(task, "pytorch", training_of("pytorch"))
    assert "y[:, 1:]" in code
    assert check_code(code, "pytorch") == []
