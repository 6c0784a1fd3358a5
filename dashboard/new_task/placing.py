"""Where each problem of a spec is shown: beside its control, or in the list of those that have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.new_task.fields import fields
from dashboard.new_task.form import Form
from dashboard.new_task.paths import Spec

Problem = Mapping[str, Any]


@dataclass(frozen=True)
class Placed:
    """Problems by the path of the control beside which they stand, and the rest."""

    beside: dict[str, list[Problem]]
    listed: list[Problem]


def placed(form: Form, spec: Spec, problems: Iterable[Problem]) -> Placed:
    """Every problem exactly once."""
    visible = form.visible(spec)
    control = {form.path(spec, field): field.path for field in fields() if field.path in visible}
    found = Placed({}, [])
    for problem in problems:
        path = control.get(str(problem.get("field")))
        if path is None:
            found.listed.append(problem)
        else:
            found.beside.setdefault(path, []).append(problem)
    return found
