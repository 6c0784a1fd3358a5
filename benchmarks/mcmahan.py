"""Rounds until FedAvg is as accurate as in its paper: McMahan et al. 2017, tables 1 and 2, on MNIST.

python -m benchmarks.mcmahan [--quick] [--minutes 30]; see `benchmarks.study`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from benchmarks.study import Study, main, markdown, share
from benchmarks.study_cells import Cell, Outcome
from federation.spec import parse_spec

LEARNING_RATE = 0.1
"""Of all cells; the paper searches one for each."""
CNN, TWO_NN = "mcmahan_cnn", "mcmahan_2nn"
ANCHORS = {
    "CNN, E=5, 2 shards": "229 (to 99 %)",
    "CNN, E=5, IID": "20",
    "CNN, E=1, IID": "34",
    "2NN, E=1, IID": "87",
    "2NN, E=1, 2 shards": "664",
}


def cell(
    name: str, model: str, cut: Literal["iid", "shards"], epochs: int, rounds: int, *, quick: bool, **how: Any
) -> Cell:
    """100 clients, a tenth of them in a round, batches of 10."""
    spec = parse_spec(
        {
            "name": "McMahan et al. 2017",
            "model": {"id": model},
            "data": {
                "id": "digits" if quick else "mnist",
                "holdout": 0.0,
                "partition": {"kind": cut, "parts": 100, "min_examples": 1},
            },
            "training": {"epochs": epochs, "batch_size": 10, "learning_rate": LEARNING_RATE},
            "cohort": {"fraction": 0.1},
            "evaluation": {"every": how.get("every", 1)},
            "stopping": {"target_accuracy": how.get("target")},
            "rounds": 2 if quick else rounds,
        }
    )
    return Cell(name, spec, channels_last=model == CNN)


def cells(quick: bool) -> list[Cell]:
    """The cell that nobody waits for in half an hour has no target, and is scored seldom."""
    return [
        cell("CNN, E=5, 2 shards", CNN, "shards", 5, 60, quick=quick, every=5),
        cell("CNN, E=5, IID", CNN, "iid", 5, 40, quick=quick, target=0.99),
        cell("CNN, E=1, IID", CNN, "iid", 1, 80, quick=quick, target=0.99),
        cell("2NN, E=1, IID", TWO_NN, "iid", 1, 200, quick=quick, target=0.97),
        cell("2NN, E=1, 2 shards", TWO_NN, "shards", 1, 1000, quick=quick, target=0.97),
    ]


def table(outcomes: Sequence[Outcome]) -> str:
    """A row a cell."""
    head = ("cell", "target", "rounds to it", "paper's rounds", "accuracy at the end", "at round", "s a round", "state")
    return markdown(head, [_row(outcome) for outcome in outcomes])


def _row(outcome: Outcome) -> Sequence[str]:
    spec, rows = outcome.cell.spec, outcome.rows
    target = spec.stopping.target_accuracy
    found = "–" if target is None else str(outcome.reached or f"not in {len(rows)}")
    scored = [row.round for row in rows if row.accuracy is not None]
    return (
        outcome.cell.name,
        "–" if target is None else f"{target:.0%}",
        found,
        ANCHORS[outcome.cell.name],
        share(outcome.last()),
        str(scored[-1]) if scored else "–",
        f"{outcome.seconds / len(rows):.2f}" if rows else "–",
        outcome.state,
    )


STUDY = Study(
    name="mcmahan",
    title="FedAvg's rounds to a target: McMahan et al. 2017, MNIST, 100 clients, C=0.1, B=10",
    cells=cells,
    table=table,
    remarks=(
        f"learning rate {LEARNING_RATE:g} in every cell (the paper takes the best one of a grid for each), seed 0",
        "rounds to the target: the first round whose model scores at or above it on the 10,000 test images; the paper "
        "makes its curve monotone and interpolates between rounds, which is up to one round less",
        "the paper's figures are as commonly cited, unverified",
        "the cell without a target stops at a round that the paper's 229 are far from: it would take hours here",
    ),
)

if __name__ == "__main__":
    main(STUDY)
