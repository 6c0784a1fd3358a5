"""A training in plain words, computed from the stored numbers: no number without a fact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from orchestrator.diagnosis.diagnose import findings
from orchestrator.diagnosis.facts import Fact, Finding, Quote
from orchestrator.diagnosis.names import plain, quoted
from orchestrator.diagnosis.training import Training, View


@dataclass(frozen=True)
class Claim:
    """A sentence of the text, and a number that it stands on."""

    claim: str
    fact: Fact

    def as_dict(self) -> dict[str, Any]:
        """`{claim, metric, value, where}`."""
        return {"claim": self.claim, "metric": self.fact.metric, "value": self.fact.value, "where": self.fact.where}


@dataclass(frozen=True)
class Summary:
    """What `summarize_training` answers.

    Attributes:
        text: Markdown. What others have chosen (names, reasons) stands in code spans.
        claims: for every number in the text, where it comes from.
        notes: why a language model's text was not used, if that is so.
    """

    text: str
    claims: tuple[Claim, ...]
    findings: tuple[Finding, ...]
    writer: str
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "text": self.text,
            "claims": [claim.as_dict() for claim in self.claims],
            "findings": [finding.as_dict() for finding in self.findings],
            "writer": self.writer,
            "notes": list(self.notes),
        }

    def with_note(self, note: str) -> Summary:
        """The same, with a word on how it came about."""
        return replace(self, notes=(*self.notes, plain(note, 400)))


def summarize(view: View, metrics: Sequence[View], rounds: Sequence[View]) -> Summary:
    """The summary by rules; the arguments are those of `orchestrator.diagnosis.diagnose`."""
    return summary_of(Training.of(view, metrics, rounds))


def summary_of(training: Training) -> Summary:
    """The same of a training that is read already."""
    stands, found = list(_standing(training)), findings(training)
    lines = [f"## {quoted(str(training.view['name']), 80)}", "", " ".join(each.text for each in stands)]
    sections: tuple[tuple[str, tuple[Literal["good", "problem", "warning", "info"], ...]], ...] = (
        ("How it goes", ("good",)),
        ("What needs a hand", ("problem", "warning")),
        ("To know", ("info",)),
    )
    for title, severities in sections:
        rows = [each for each in found if each.severity in severities]
        if rows:
            lines += ["", f"### {title}", "", *(_bullet(each) for each in rows)]
    claims = [Claim(each.text, fact) for each in (*stands, *found) for fact in each.facts]
    return Summary("\n".join(lines) + "\n", tuple(claims), tuple(found), "rules")


def _bullet(finding: Finding) -> str:
    return f"- {finding.text}" + (f" *Mend:* {finding.mend}." if finding.mend else "")


def _standing(training: Training) -> Iterator[Finding]:
    """Where the task stands, in its first sentences."""
    q, view = Quote(), training.view
    over = q("number of closed rounds", int(training.totals["closed"]), "task")
    rounds = f"{over} of {q('num_rounds', int(view['num_rounds']), 'task')} rounds"
    what = "A simulation" if training.simulated else "A federation"
    model, data = (quoted(str(training.spec[name]["id"]), 80) for name in ("model", "data"))
    text = f"{what} of {model} on {data} by the rule `{training.spec['aggregation']['rule']}`. "
    text += f"It is {view['state']}; {rounds} made a version"
    if training.members:
        text += f", by {q('number of nodes', len(training.members), 'task')} nodes"
    yield q.finding("state", "info", text + ".")
    if view.get("reason"):
        yield Finding("reason", "info", f"The server says why: {quoted(str(view['reason']), 300)}.")
    attack = (view.get("simulation") or {}).get("attack")
    if attack:
        q = Quote()
        share = q("attackers", float(view["simulation"]["attackers"]), "task")
        yield q.finding("attack", "info", f"Of the clients, {share} attack (`{attack}`).")
    top = training.best
    if top is not None and training.totals["closed"]:
        q = Quote()
        current = int(view["version"])
        text = f"The current model is {q.version(current)}, the best "
        text += "so far" if top.version == current else f"was {q.version(top.version)}"
        where = f"version {top.version}"
        if top.accuracy is not None:
            text += f", with an accuracy of {q(training.accuracy_name, top.accuracy, where)}"
        elif top.loss is not None:
            text += f", with a loss of {q(training.loss_name, top.loss, where)}"
        yield q.finding("best", "info", text + ".")
