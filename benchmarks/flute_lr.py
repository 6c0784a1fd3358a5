"""How long a thousand clients' logistic regression takes: the row LR_MNIST of FLUTE's comparison of simulators.

python -m benchmarks.flute_lr [--quick] [--minutes 30]; see `benchmarks.study`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.study import Study, main, markdown, share
from benchmarks.study_cells import Cell, Outcome
from federation.simulation.engine import EngineName
from federation.spec import parse_spec

CUTS: dict[str, dict[str, Any]] = {
    "two labels a client": {"kind": "shards", "shards_per_part": 2},
    "Dirichlet 0.5": {"kind": "dirichlet", "alpha": 0.5},
    "IID": {"kind": "iid"},
}
ENGINES: tuple[EngineName, ...] = ("vectorized", "loop")


def cells(quick: bool) -> list[Cell]:
    """Every cut by both engines."""
    return [_cell(cut, engine, quick) for cut in CUTS for engine in ENGINES]


def _cell(cut: str, engine: EngineName, quick: bool) -> Cell:
    spec = parse_spec(
        {
            "name": "FLUTE LR_MNIST",
            "model": {"id": "logistic"},
            "data": {
                "id": "digits" if quick else "mnist",
                "holdout": 0.0,
                "partition": {**CUTS[cut], "parts": 50 if quick else 1000, "min_examples": 1},
            },
            "training": {"epochs": 1, "batch_size": 10, "learning_rate": 0.03},
            "cohort": {"size": 10},
            "rounds": 5 if quick else 100,
        }
    )
    return Cell(f"{cut}, {engine}", spec, engine=engine)


def table(outcomes: Sequence[Outcome]) -> str:
    """A row a cell, and the published ones."""
    head = ("simulator", "wall s", "CPU s", "accuracy at the end", "best", "rounds", "state")
    rows = [
        (
            f"Potluck, {each.cell.name}",
            f"{each.seconds:.1f}",
            f"{each.cpu_s:.1f}",
            share(each.last()),
            share(max(each.scores, default=None)),
            str(len(each.rows)),
            each.state,
        )
        for each in outcomes
    ]
    published = [("FLUTE, published", "200"), ("Flower 1.0 on Ray, published", "1814")]
    rows += [(name, wall, "–", "about 80", "–", "100", "another machine's CPU") for name, wall in published]
    loading = max((each.loading_s for each in outcomes), default=0.0)
    return markdown(head, rows) + f"\n\nLoading and cutting the data took {loading:.1f} s more, at most."


STUDY = Study(
    name="flute_lr",
    title="LR_MNIST of FLUTE: logistic regression, 1,000 clients, 10 a round, batches of 10, 1 epoch, 100 rounds",
    cells=cells,
    table=table,
    remarks=(
        "learning rate 0.03, seed 0, scored after every round on MNIST's 10,000 test images; one process, one thread; "
        "seconds are those of the rounds, scoring included",
        "FLUTE's data are those of the FedProx paper: 1,000 users who hold images of two digits each and whose numbers "
        "of examples follow a power law (about 69 on average), scored on a tenth of each user's own; the closest cut "
        "here gives each client two label shards of 30, so 60 examples each, and the test set is MNIST's. With equal "
        "sizes no client is very long or very short",
        "the published seconds are as commonly cited, unverified, and of other machines: their ratio to these says "
        "what a user would wait, not which code is better by how much",
    ),
    workers=1,
)

if __name__ == "__main__":
    main(STUDY)
