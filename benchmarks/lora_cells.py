"""The cells of the study of adapters: who trains together, by which rule, from which first A; and the task of each."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from federation.spec import TaskSpec, parse_spec

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
EXACT = "lora_exact"

Places = tuple[int, ...]
First = Literal["common", "own"]


@dataclass(frozen=True)
class Scale:
    """How much is done, with what.

    Attributes:
        models: folder of base models, by name.
        speakers: the data set's largest users, each of them a node.
        steps: of a node in a round, of one example of `length` tokens each.
    """

    models: Path
    base: str = SMOLLM2
    speakers: int = 4
    rounds: int = 3
    steps: int = 20
    length: int = 64
    seeds: int = 3


@dataclass(frozen=True)
class Cell:
    """Federations that run beside each other, all alike; all cells of a seed begin with the same A, but for `own`.

    Attributes:
        method: its line in the table.
        federations: of each its nodes, of each node the places of the speakers whose texts it holds.
        first: whether a node begins the first round with the broadcast A, or with an A of its own. What it then sends
            is its local factors minus the broadcast ones, as ever: the server sees no difference.
        steps: of a node in a round.
    """

    method: str
    rule: str
    seed: int
    federations: tuple[tuple[Places, ...], ...]
    steps: int
    first: First = "common"

    @property
    def name(self) -> str:
        """Of this one cell."""
        return f"{self.method}, seed {self.seed}"


BASE, LOCAL = "base", "each alone"
POOLED, POOLED_SHORT = "centralised, all nodes' steps", "centralised, one node's steps"
OWN_A = ", own A first"


def cells(scale: Scale) -> list[Cell]:
    """Seed after seed, so that who is interrupted has every method of some; the base is a cell with nothing to train.

    Two that share their first round do not stand side by side at the beginning, where both would train it.
    """
    return [cell for seed in range(scale.seeds) for cell in _of_seed(scale, seed)]


def _of_seed(scale: Scale, seed: int) -> list[Cell]:
    one_each: tuple[Places, ...] = tuple((place,) for place in range(scale.speakers))
    pooled = ((tuple(range(scale.speakers)),),)
    steps, many = scale.steps, scale.steps * scale.speakers
    return [
        Cell(BASE, "fedavg", seed, ((),), 0),
        Cell("fedavg", "fedavg", seed, (one_each,), steps),
        Cell("ffa", "ffa", seed, (one_each,), steps),
        Cell(EXACT, EXACT, seed, (one_each,), steps),
        Cell("lora_stack", "lora_stack", seed, (one_each,), steps),
        Cell("fedavg" + OWN_A, "fedavg", seed, (one_each,), steps, "own"),
        Cell(LOCAL, "fedavg", seed, tuple((node,) for node in one_each), steps),
        Cell(EXACT + OWN_A, EXACT, seed, (one_each,), steps, "own"),
        Cell(POOLED, "fedavg", seed, pooled, many),
        Cell(POOLED_SHORT, "fedavg", seed, pooled, steps),
    ]


def trainings(cell: Cell, scale: Scale) -> list[tuple[int, int, Hashable]]:
    """What a cell trains: the place of the federation, the round, and a name of the work, the same one where cells
    share it. They do in the first round, when they begin with the same factors and train the same ones."""
    found: list[tuple[int, int, Hashable]] = []
    for place, nodes in enumerate(cell.federations):
        for node in nodes:
            alike = (cell.seed, node, cell.steps, cell.first, cell.rule == "ffa")
            found.append((place, 1, alike))
            found += [(place, round, (cell.seed, node, cell.method, round)) for round in range(2, scale.rounds + 1)]
    return found


def task(cell: Cell, scale: Scale) -> TaskSpec:
    """The task that the cell's federations work on."""
    return parse_spec(
        {
            "name": "speeches",
            "model": {"id": f"hf:{scale.base}", "dtype": "bfloat16", "lora": {"r": 8, "alpha": 16}},
            "data": {
                "id": "shakespeare",
                "holdout": 0.0,
                "partition": {"kind": "natural", "users": "largest", "parts": scale.speakers},
                "text": {"max_length": scale.length},
            },
            "training": {
                "optimizer": "adam",
                "learning_rate": 1e-3,
                "batch_size": 1,
                "max_steps": max(1, cell.steps),
            },
            "aggregation": {"rule": cell.rule},
            "cohort": {"size": max(1, len(cell.federations[0]))},
            "evaluation": {"server": False, "nodes": False},
            "rounds": scale.rounds,
            "seed": cell.seed,
        }
    )
