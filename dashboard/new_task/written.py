"""The whole spec as text for experts: JSON or YAML, there and back."""

from __future__ import annotations

import json
from typing import Any, Literal

import yaml

from dashboard.new_task.draft import MOST_CHARACTERS
from dashboard.new_task.paths import Spec

Notation = Literal["YAML", "JSON"]


class Unreadable(Exception):
    """The text is no spec; the message says where, and how to mend it."""


def write(spec: Spec, notation: Notation) -> str:
    """The spec as text, its fields in their order."""
    if notation == "JSON":
        return json.dumps(spec, indent=2, ensure_ascii=False)
    return str(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100))


def read(said: str) -> Spec:
    """The spec in a text, JSON or YAML.

    Raises:
        Unreadable: it is neither, or no object.
    """
    if len(said) > MOST_CHARACTERS:
        raise Unreadable(f"The text is longer than {MOST_CHARACTERS:,} characters. Mend: a spec has a few dozen lines.")
    try:
        found: Any = json.loads(said) if said.lstrip().startswith("{") else _yaml(said)
        json.dumps(found, allow_nan=False)
    except json.JSONDecodeError as error:
        raise Unreadable(f"Line {error.lineno}: {error.msg}. Mend: correct the JSON there.") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Unreadable(f"Line {line}: {error.problem}. Mend: correct the YAML there.") from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"{str(error)[:200]}. Mend: write plain texts, numbers and lists.") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise Unreadable("A spec is an object with fields. Mend: write e.g. `model: {id: mlp}`.")
    return found


def _yaml(said: str) -> Any:
    """Without aliases: a few lines of them stand for gigabytes, and a spec needs none."""
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(said, yaml.SafeLoader)):
        raise ValueError("the text has aliases (*name)")
    return yaml.safe_load(said)
