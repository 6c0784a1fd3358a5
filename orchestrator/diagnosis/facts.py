"""Numbers that may be said: each is a stored one, or a count or sum of stored ones, with its name and its place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["problem", "warning", "info", "good"]

_SHARES = ("weight_share", "attackers")
_THREE_PLACES = ("accuracy", "agreement", "fairness", "cosine", "lora_error", "target")


@dataclass(frozen=True)
class Fact:
    """A number of a training.

    Attributes:
        metric: its name, as the metrics, the task or the round call it; `sum of …` and `number of …` are reckoned.
        value: as it is stored; bytes are bytes, shares are 0 to 1, times seconds.
        where: what it is of: `task`, `spec`, `round 3`, `version 2`, `node node-…`, `node node-… in round 3`.
    """

    metric: str
    value: float
    where: str


@dataclass(frozen=True)
class Finding:
    """What a practitioner would point at.

    Attributes:
        text: Markdown; every number in it is the value of one of `facts`.
        mend: what to do about it, naming the field of the spec or the tool; empty where nothing is to be done.
    """

    kind: str
    severity: Severity
    text: str
    mend: str = ""
    facts: tuple[Fact, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the facts: those are the summary's claims."""
        return {name: value for name, value in asdict(self).items() if name != "facts"}


@dataclass
class Quote:
    """Writes numbers into a text and remembers them: `f"the loss is {q('loss', 0.25, 'version 1')}"`."""

    facts: list[Fact] = field(default_factory=list)

    def __call__(self, metric: str, value: float, where: str) -> str:
        self.facts.append(Fact(metric, value, where))
        return written(metric, value)

    def round(self, number: int) -> str:
        """`round 3`."""
        return f"round {self('round', number, f'round {number}')}"

    def version(self, number: int) -> str:
        """`version 2`."""
        return f"version {self('version', number, f'version {number}')}"

    def finding(self, kind: str, severity: Severity, text: str, mend: str = "") -> Finding:
        """What was written, as a finding; what was noted and not used after all is left out."""
        said = [fact for fact in self.facts if written(fact.metric, fact.value) in text + mend]
        return Finding(kind, severity, text, mend, tuple(said))


def written(metric: str, value: float) -> str:
    """A number as people read it: bytes with a unit, shares as percentages, scores to three or four places."""
    if "bytes" in metric:
        return _sized(value)
    if metric in _SHARES:
        return f"{100 * value:.0f} %"
    if isinstance(value, int) or (float(value).is_integer() and not _places(metric) and abs(value) < 1e15):
        return str(int(value))
    return format(value, _places(metric) or ".3g")


def _places(metric: str) -> str:
    if any(name in metric for name in _THREE_PLACES):
        return ".3f"
    if "loss" in metric:
        return ".4f"
    return ".2f" if "seconds" in metric or "perplexity" in metric else ""


def _sized(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("GB is the last unit")
