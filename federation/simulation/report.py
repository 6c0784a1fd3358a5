"""A simulated round on its way from the process that simulates to the one that keeps it: facts, tensors in files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from federation.evaluation import Evaluation
from federation.simulation.simulated_round import SimulatedRound
from federation.weights import to_bytes


@dataclass(frozen=True)
class ReportedUpdate:
    """One client's update: counts, metrics as a node reports them, and what the rule made of it."""

    client: str
    num_examples: int
    num_steps: int
    metrics: dict[str, float]
    norm: float
    weight: float | None = None
    cosine: float | None = None
    score: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Report:
    """A round without its tensors.

    Attributes:
        update_size: bytes that each update would take as a file; `model_size`: the model.
        evaluation: of the new model on the test examples; None when it was not scored.
        backdoor: success of the attack of that name.
    """

    round: int
    void: bool
    seconds: float
    model_size: int
    update_size: int
    participants: list[str]
    updates: list[ReportedUpdate]
    evaluation: Evaluation | None
    backdoor: float | None

    @classmethod
    def of(cls, made: SimulatedRound, test_examples: int) -> Report:
        """What there is to tell of a round; an update of an attacker says so among its metrics."""
        count = len(made.participants)
        scored = made.loss is not None and made.accuracy is not None
        diagnoses: list[Any] = list(made.diagnoses) or [None] * len(made.delivered)
        return cls(
            round=made.round,
            void=made.void,
            seconds=made.seconds,
            model_size=made.bytes_down // count,
            update_size=made.bytes_up // count,
            participants=list(made.participants),
            updates=[
                ReportedUpdate(
                    client=each.client,
                    num_examples=each.num_examples,
                    num_steps=each.num_steps,
                    metrics=each.metrics | ({"attacker": 1.0} if each.client in made.attackers else {}),
                    norm=each.norm,
                    weight=said.weight if said else None,
                    cosine=said.cosine if said else None,
                    score=said.score if said else None,
                    reason=said.reason if said else None,
                )
                for each, said in zip(made.delivered, diagnoses, strict=True)
            ],
            evaluation=Evaluation(
                test_examples, made.loss or 0.0, made.accuracy or 0.0, list(made.per_class_accuracy or [])
            )
            if scored
            else None,
            backdoor=made.backdoor,
        )


@dataclass(frozen=True)
class RoundFiles:
    """Where a round's report, its new model and the server optimiser's state are."""

    folder: Path
    number: int

    @property
    def weights(self) -> Path:
        """The new model, as a model version's file."""
        return self._path("safetensors")

    @property
    def state(self) -> Path:
        """The server optimiser's state; not there when it has none."""
        return self._path("state")

    def write(self, made: SimulatedRound, test_examples: int) -> None:
        """Everything, the report last."""
        self.weights.write_bytes(to_bytes(made.weights))
        if made.state:
            self.state.write_bytes(to_bytes(made.state))
        self._path("json").write_text(json.dumps(asdict(Report.of(made, test_examples))))

    def read(self) -> Report:
        """The report."""
        document = json.loads(self._path("json").read_text())
        updates = [ReportedUpdate(**each) for each in document.pop("updates")]
        scores = document.pop("evaluation")
        return Report(**document, updates=updates, evaluation=None if scores is None else Evaluation(**scores))

    def remove(self) -> None:
        """All of them."""
        for kind in ("json", "state", "safetensors"):
            self._path(kind).unlink(missing_ok=True)

    def _path(self, kind: str) -> Path:
        return self.folder / f"round-{self.number}.{kind}"
