"""What a study will take, before it starts: each kind of cell is timed on made-up examples, and multiplied out."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks.study_cells import Cell
from benchmarks.study_rounds import channels_last
from federation.errors import Refused
from federation.evaluation import evaluate
from federation.examples import Examples
from federation.rounds import select_cohort
from federation.simulation.population import Population, clients_of
from federation.simulation.run import simulate
from federation.spec import CohortSpec, EvaluationSpec
from resources.datasets import catalogue as datasets
from resources.models.catalogue import create_model

_FEW, _MORE = 1, 7  # steps of a client: their difference is the steps' cost, what is left the rule's and the attack's
_SCORED = 1_000


@dataclass(frozen=True)
class Pace:
    """Seconds: of a round without its steps, of one step of each of its clients, and of one scoring.

    `on_cpu` is the share of them that the process was not kept waiting, by others say.
    """

    round_s: float
    step_s: float
    score_s: float
    on_cpu: float = 1.0

    def worst(self, other: Pace) -> Pace:
        """The slower of the two, part by part."""
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        return Pace(*(max(one, two) for one, two in parts))


def pace(cell: Cell, workers: int = 1) -> Pace | str:
    """Timed in this process with a cohort and a model of the cell's size; why not, when the cell is refused."""
    card = datasets.image_card(cell.spec.data.id)
    shape, classes = card.input_shape, card.num_classes
    options = dict(cell.spec.model.options)
    factory = partial(create_model, cell.spec.model.id, input_shape=shape, num_classes=classes, options=options)
    size = cohort_size(cell)
    batch = cell.spec.training.batch_size
    generator = torch.Generator().manual_seed(0)
    most = max(size * batch * _MORE, _SCORED)
    pool = Examples(torch.rand((most, *shape), generator=generator), torch.arange(most) % classes)
    spec = cell.spec.model_copy(
        update={
            "rounds": 1,
            "training": cell.spec.training.model_copy(update={"epochs": 1}),
            "cohort": CohortSpec(size=size),
            "evaluation": EvaluationSpec(server=False),
        }
    )

    def timed(steps: int) -> float:
        shares = torch.split(torch.arange(size * batch * steps), batch * steps)
        population = Population(clients_of(shares), pool, None, partial(channels_last, factory) if last else factory)
        began = time.perf_counter()
        engine = "loop" if cell.engine == "processes" else cell.engine
        for _ in simulate(spec, population, engine=engine, attack=cell.attack, attackers=cell.attackers):
            pass
        return time.perf_counter() - began

    last = cell.channels_last
    try:
        timed(_FEW)  # whatever is set up once
        wall, cpu = time.perf_counter(), time.process_time()
        few, more = timed(_FEW), timed(_MORE)
        on_cpu = (time.process_time() - cpu) / (time.perf_counter() - wall)
    except Refused as refused:
        return f"{refused.problem.removesuffix('.')} ({refused.code})"
    step = max(0.0, more - few) / (_MORE - _FEW)
    model = channels_last(factory) if last else factory()
    began = time.perf_counter()
    evaluate(model, pool.take(torch.arange(_SCORED)))
    score = (time.perf_counter() - began) / _SCORED * card.num_test
    step_each = step / (workers if cell.engine == "processes" else 1)
    return Pace(max(0.0, few - _FEW * step), step_each, score, min(1.0, on_cpu))


def cohort_size(cell: Cell) -> int:
    """Clients in a round when all are at hand."""
    names = [str(place) for place in range(cell.spec.data.partition.parts)]
    cohort = select_cohort(cell.spec.cohort, names, 0)
    return len(cohort.members) if cohort else 1


def kind(cell: Cell) -> Cell:
    """What cells that take equally long have in common; the seconds of a round do not depend on the cut, say."""
    partition = cell.spec.data.partition.model_copy(update={"kind": "iid", "alpha": 0.5})
    training = cell.spec.training.model_copy(update={"learning_rate": 1e-6, "epochs": 1})
    data = cell.spec.data.model_copy(update={"partition": partition})
    plain = {"name": "x", "data": data, "training": training, "rounds": 1, "stopping": type(cell.spec.stopping)()}
    return replace(cell, name="", spec=cell.spec.model_copy(update=plain | {"evaluation": EvaluationSpec()}))


def paces(cells: Iterable[Cell], pool: Executor, workers: int) -> dict[str, Pace | str]:
    """By `kind(cell).key`; timed `workers` at once, as the cells will run, each kind so many times."""
    kinds = {each.key: each for each in map(kind, cells)}
    found: dict[str, Pace | str] = {}
    repeated = [key for key in kinds for _ in range(workers if len(kinds) < 2 * workers else 1)]
    timings = pool.map(partial(pace, workers=workers), [kinds[key] for key in repeated])
    for key, timing in zip(repeated, timings, strict=True):
        before = found.get(key)
        both = isinstance(before, Pace) and isinstance(timing, Pace)
        found[key] = before.worst(timing) if both else timing  # type: ignore[union-attr,arg-type]
    return found


def seconds(cell: Cell, timing: Pace, rounds_kept: int = 0) -> float:
    """Of the rounds that are left, should the target never be reached."""
    spec = cell.spec
    clients = datasets.card(spec.data.id).num_train / spec.data.partition.parts
    steps = spec.training.epochs * math.ceil(clients / spec.training.batch_size)
    steps = min(steps, spec.training.max_steps or steps)
    left = spec.rounds - rounds_kept
    return left * (timing.round_s + steps * timing.step_s) + math.ceil(left / spec.evaluation.every) * timing.score_s


def makespan(costs: Sequence[float], workers: int) -> float:
    """Until the last of them is done, the longest first, by so many at once."""
    busy = [0.0] * workers
    for cost in sorted(costs, reverse=True):
        heapq.heappush(busy, heapq.heappop(busy) + cost)
    return max(busy)


Paces = Mapping[str, Pace | str]
