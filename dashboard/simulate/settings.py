"""What a person sets for a simulation, as a task spec and run_simulation's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ATTACKS: Mapping[str, str] = {
    "label_flip": "Label flip: trains on wrong labels",
    "sign_flip": "Sign flip: sends the opposite of its update",
    "gaussian": "Noise: sends a random update",
    "alie": "A little is enough: hides within the spread of the others",
    "ipm": "Inner product: points against the honest mean",
    "min_max": "Min-max: as far off as the others are from each other",
    "backdoor": "Backdoor: teaches a trigger",
}
"""run_simulation's attacks, in words."""

KINDS: Mapping[str, str] = {
    "iid": "Evenly (iid)",
    "dirichlet": "Skewed labels (Dirichlet α)",
    "shards": "Two labels each (shards)",
    "natural": "By user (texts)",
}


@dataclass(frozen=True)
class Settings:
    """The controls' values."""

    data: str
    model: str
    kind: str
    alpha: float
    clients: int
    fraction: float
    rule: str
    f: float | None
    attack: str | None
    attackers: float
    rounds: float
    epochs: float
    learning_rate: float
    seed: float

    @property
    def name(self) -> str:
        """What the run is called."""
        cut = f"α {self.alpha:g}" if self.kind == "dirichlet" else self.kind
        attacked = f", {self.attack} {100 * self.attackers:.3g} %" if self.attacked else ""
        return f"{self.rule}, {cut}, {self.clients} clients{attacked}"[:80]

    @property
    def attacked(self) -> bool:
        """Whether anybody attacks."""
        return bool(self.attack) and self.attackers > 0

    def spec(self, rule: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The task spec.

        Args:
            rule: its card; an option that the rule does not have is left out.
        """
        partition: dict[str, Any] = {"kind": self.kind, "parts": whole(self.clients), "min_examples": 1}
        if self.kind == "dirichlet":
            partition["alpha"] = self.alpha
        cohort = max(1, round(self.fraction * self.clients))  # nobody drops out of a simulation
        aggregation: dict[str, Any] = {"rule": self.rule}
        if self.f is not None and "f" in (rule or {}).get("options", {}):
            aggregation["options"] = {"f": whole(self.f)}
        return {
            "name": self.name,
            "model": {"id": self.model},
            "data": {"id": self.data, "partition": partition},
            "training": {"epochs": whole(self.epochs), "learning_rate": self.learning_rate},
            "aggregation": aggregation,
            "cohort": {"size": cohort, "quorum": cohort},
            "rounds": whole(self.rounds),
            "seed": whole(self.seed),
        }

    def arguments(self) -> dict[str, Any]:
        """Of run_simulation, besides spec and request_id."""
        return {"attack": self.attack, "attackers": self.attackers} if self.attacked else {}


def whole(value: Any) -> Any:
    """A number without a fraction as an integer; anything else as it is, for the server to refuse in its words."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
