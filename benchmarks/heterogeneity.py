"""Methods for unlike data: FedAvg, FedProx, SCAFFOLD and FedNova on CIFAR-10, Dirichlet 0.5 and 0.1.

python -m benchmarks.heterogeneity [--quick] [--minutes 30]; see `benchmarks.study`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.study import Study, main, markdown, share
from benchmarks.study_cells import Cell, Outcome
from federation.spec import parse_spec

METHODS: Mapping[str, Mapping[str, float]] = {
    "fedavg": {},
    "fedprox": {"mu": 0.01},
    "scaffold": {},
    "fednova": {},
}
ALPHAS = (0.5, 0.1)
LEARNING_RATE = 0.05
ROUNDS = 12
SCORINGS = 3
PUBLISHED = {
    "fedavg": ("62.47 ± 0.43", "80.45"),
    "fedprox": ("65.63 ± 0.08", "80.59"),
    "scaffold": ("68.08 ± 0.96", "82.60"),
    "fednova": ("63.89 ± 1.40", "–"),
}
"""NIID-Bench's replica in Flower, Dirichlet 0.5; NVFlare's example, Dirichlet 0.1."""


def cells(quick: bool) -> list[Cell]:
    """Every method on every cut."""
    return [_cell(method, alpha, quick) for alpha in ALPHAS for method in METHODS]


def _cell(method: str, alpha: float, quick: bool) -> Cell:
    spec = parse_spec(
        {
            "name": "heterogeneity",
            "model": {"id": "cifar10_cnn"},
            "data": {
                "id": "digits" if quick else "cifar10",
                "holdout": 0.0,
                "partition": {"kind": "dirichlet", "alpha": alpha, "parts": 10, "min_examples": 10},
            },
            "training": {"optimizer": "sgd", "epochs": 1, "batch_size": 32, "learning_rate": LEARNING_RATE},
            "aggregation": {"rule": method, "options": dict(METHODS[method])},
            "cohort": {"size": 4},
            "evaluation": {"every": 1 if quick else 2},
            "rounds": 3 if quick else ROUNDS,
        }
    )
    return Cell(_called(method, alpha), spec, channels_last=True)


def table(outcomes: Sequence[Outcome]) -> str:
    """A row a method, each cut with its mean and its best, and what is published."""
    of = {each.cell.name: each for each in outcomes}
    head = ["method"]
    for alpha in ALPHAS:
        head += [f"Dir {alpha:g}: mean of the last {SCORINGS}", "best", "rounds"]
    head += ["published, Dir 0.5 (NIID-Bench in Flower, best of 50)", "published, Dir 0.1 (NVFlare)"]
    rows = []
    for method in METHODS:
        row = [method]
        for alpha in ALPHAS:
            each = of.get(_called(method, alpha))
            if each is None or each.problem:
                row += [each.state if each else "–", "–", "–"]
            else:
                row += [share(each.last(SCORINGS)), share(max(each.scores, default=None)), str(len(each.rows))]
        rows.append([*row, *PUBLISHED[method]])
    return markdown(head, rows)


def _called(method: str, alpha: float) -> str:
    return f"{method}, Dirichlet {alpha:g}"


STUDY = Study(
    name="heterogeneity",
    title="Methods for unlike data: CIFAR-10, 10 clients, Dirichlet 0.5 and 0.1",
    cells=cells,
    table=table,
    remarks=(
        f"learning rate {LEARNING_RATE:g} in every cell, SGD without momentum (SCAFFOLD's correction is for plain "
        "SGD), FedProx's μ 0.01, SCAFFOLD's η_g 1, seed 0; `cifar10_cnn` has 550,570 parameters",
        f"reduced to fit half an hour: {ROUNDS} rounds of 4 of the 10 clients, 1 epoch of batches of 32 (about 20,000 "
        "images a round, a hundredth of the published run's work in all), one seed, scored every 2 rounds on all "
        "10,000 test images, in per cent",
        "published, as commonly cited, unverified: NIID-Bench's replica has 50 rounds of all 10 clients, 10 epochs, "
        "batches of 64, momentum 0.9, a smaller CNN; NVFlare's example 50 rounds of 8 clients, 4 epochs, a rate that "
        "follows a cosine. So few rounds cannot reach their figures; what is compared is the order of the methods",
    ),
)

if __name__ == "__main__":
    main(STUDY)
