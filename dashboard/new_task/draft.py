"""The task that is being written: its spec, and the id under which it is made once, however often Start is pressed."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from dashboard.new_task.paths import Spec

MOST_CHARACTERS = 100_000
"""Of a draft: a spec has a few dozen lines."""
_ID = re.compile(r"[A-Za-z0-9_.:-]{8,100}")

SENSIBLE: Spec = {
    "name": "Handwritten digits",
    "model": {"id": "mlp"},
    "data": {"id": "digits", "partition": {"kind": "dirichlet", "parts": 4, "alpha": 0.5}},
    "training": {"epochs": 2},
    "cohort": {"size": 2},
    "rounds": 10,
}
"""What the form begins with."""


KEEP = """(draft) => {
  try { localStorage.setItem('potluck-draft', draft); } catch { /* a browser that keeps nothing */ }
}"""
"""The browser keeps the draft, so that a reload goes on with the same one."""

FETCH = """(token, draft, ...others) => {
  let kept = null;
  try { kept = localStorage.getItem('potluck-draft'); } catch { /* as above */ }
  return [token, draft || kept || '', ...others];
}"""


def new_id() -> str:
    """An id for a request that makes something."""
    return f"page-{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Draft:
    """One task before and after its start.

    Attributes:
        request_id: the same until the spec of a task that was made is changed.
        task_id: the task that was made of it.
    """

    spec: Spec
    request_id: str = field(default_factory=new_id)
    task_id: str | None = None

    def changed(self, spec: Spec) -> Draft:
        """The draft with another spec. One that has become a task already becomes another one."""
        if spec == self.spec:
            return self
        return Draft(spec) if self.task_id else replace(self, spec=spec)

    def made(self, task_id: str) -> Draft:
        """After its start."""
        return replace(self, task_id=task_id)

    def kept(self) -> str:
        """What the browser keeps."""
        return json.dumps({"spec": self.spec, "request_id": self.request_id, "task_id": self.task_id})


def draft_of(kept: Any) -> Draft:
    """The draft that the browser kept; a fresh one where it kept none, or something else."""
    if len(str(kept or "")) > MOST_CHARACTERS:
        return Draft(SENSIBLE)
    try:
        found = json.loads(kept or "")
    except (TypeError, ValueError, RecursionError):
        return Draft(SENSIBLE)
    match found:
        case {"spec": dict(spec), "request_id": str(id), "task_id": None | str() as task_id} if _ID.fullmatch(id):
            return Draft(spec, id, task_id)
    return Draft(SENSIBLE)
