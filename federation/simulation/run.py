"""Whole federations in one process: the same cohorts, seeds, rules and scores as of a server with nodes, no network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from federation.aggregation.contributions import Claim
from federation.aggregation.outcome import Diagnosis
from federation.aggregation.rules import aggregate_updates
from federation.aggregation.server_optimizer import State
from federation.errors import ErrorCode, Refused
from federation.evaluation import Evaluation, evaluate
from federation.layout import layout_of
from federation.rounds import Cohort, select_cohort
from federation.simulation.attacks import Attack, find_attack
from federation.simulation.backdoor import trigger_set
from federation.simulation.clients import LocalUpdates, Work
from federation.simulation.delivered import Delivered, History
from federation.simulation.engine import Engine, EngineName, suited_to
from federation.simulation.forging import told
from federation.simulation.gathering import Gathering
from federation.simulation.loop import LoopEngine
from federation.simulation.population import Population, attacked
from federation.simulation.processes import ProcessesEngine
from federation.simulation.refusals import check_simulation, cohort_of
from federation.simulation.simulated_round import SimulatedRound, Start, Trained
from federation.simulation.variates import Variates
from federation.simulation.vectorized import VectorizedEngine
from federation.spec import TaskSpec, derive_seed
from federation.training import Stopped
from federation.weights import Tensors, pack_update, to_bytes

IN_MEMORY = 256 << 20
"""Bytes of a round's updates that are kept in memory; more of them go to files."""


def simulate(
    spec: TaskSpec,
    population: Population,
    *,
    engine: EngineName | None = None,
    attack: str | None = None,
    attackers: float = 0.0,
    workers: int | None = None,
    memory_bytes: int = IN_MEMORY,
    folder: Path | None = None,
    start: Start | None = None,
    on_progress: Callable[[Trained], None] = lambda trained: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[SimulatedRound]:
    """The rounds of a task, as they happen. All clients are at hand in every round, and none drops out.

    Nothing but the task's seed is drawn from: the same call gives the same bits, with one kind of CPU, library
    versions and number of threads. What the spec says of data, model and network is the population's matter.

    Args:
        engine: default: all clients at once for small models, else one after the other.
        attack, attackers: what a share of all clients does; see `federation.simulation.attacks`.
        workers: of the engine `processes`.
        memory_bytes: of a round's updates, and of SCAFFOLD's control variates; more of them go to files.
        folder: where files of size go for the time being; default: the system's.
        start: where to go on; default: at the first round, with the population's initial weights. Rounds that SCAFFOLD
            simulates once more count in `on_progress` only.
        on_progress: told whenever clients have trained.
        should_stop: asked whenever clients have trained; the iterator then raises Stopped.

    Raises:
        Refused: for a spec that cannot work, at once; while it runs, as training and aggregation refuse.
    """
    check_simulation(spec, len(population.clients), attack=attack, attackers=attackers)
    chosen = None if attack is None else find_attack(attack)
    spec = spec.model_copy(update={"cohort": cohort_of(spec, len(population.clients))})
    population, names = attacked(population, chosen, attackers, spec.seed)
    model = population.factory()
    run = _Run(spec, population, chosen, names, memory_bytes, folder, on_progress, should_stop)
    first = 1 if start is None else run.resume(start)
    return run.rounds(engine or suited_to(model), workers, first)


class _Run:
    def __init__(
        self,
        spec: TaskSpec,
        population: Population,
        attack: Attack | None,
        attackers: frozenset[str],
        memory_bytes: int,
        folder: Path | None,
        on_progress: Callable[[Trained], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._spec = spec
        self._population = population
        self._attack = attack
        self._attackers = attackers
        self._memory_bytes = memory_bytes
        self._folder = folder
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._place = {client.name: place for place, client in enumerate(population.clients)}
        self._model = population.factory()
        self._weights: Tensors = {name: t.detach().clone() for name, t in self._model.state_dict().items()}
        self._layout = layout_of(self._weights)
        aux = {name: t.float() for name, t in self._weights.items()} if spec.aggregation.control_variates else None
        self._sizes = len(to_bytes(self._weights)), len(pack_update(self._weights, aux))
        self._state: State = {}
        self._variates: Variates | None = None
        self._told: Start | None = None
        self._history = History()
        planted = attack is not None and attack.name == "backdoor" and population.test is not None
        self._triggers = trigger_set(population.test) if planted and population.test is not None else None

    def resume(self, start: Start) -> int:
        """Takes up what `start` left; the number of the round that follows it."""
        if layout_of(start.weights) != self._layout:
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                "the model to go on from has other tensors than the task's.",
                "go on from a round of the same task",
            )
        if self._spec.aggregation.control_variates:
            self._told = start
            return 1
        self._weights = {name: tensor.detach().clone() for name, tensor in start.weights.items()}
        self._state = start.state
        self._history = start.history.copy()
        return start.round + 1

    def rounds(self, name: EngineName, workers: int | None, first: int) -> Iterator[SimulatedRound]:
        with ExitStack() as stack:
            engine = self._engine(name, workers, stack)
            if self._spec.aggregation.control_variates:
                variates = Variates(
                    self._model, self._layout, list(self._place), budget=self._memory_bytes, folder=self._folder
                )
                self._variates = stack.enter_context(variates)
            for number in range(first, self._spec.rounds + 1):
                made = self._round(engine, number)
                if self._told is None or number > self._told.round:
                    yield made
                elif number == self._told.round:
                    _check_same(made, self._told)

    def _engine(self, name: EngineName, workers: int | None, stack: ExitStack) -> Engine:
        factory, pool, training = self._population.factory, self._population.pool, self._spec.training
        proximal = self._spec.aggregation.proximal
        match name:
            case "loop":
                return LoopEngine(factory, pool, training, proximal=proximal)
            case "vectorized":
                return VectorizedEngine(factory, pool, training, proximal=proximal)
            case "processes":
                engine = ProcessesEngine(
                    factory, pool, training, proximal=proximal, workers=workers, folder=self._folder
                )
                return stack.enter_context(engine)

    def _round(self, engine: Engine, number: int) -> SimulatedRound:
        began, seed = time.perf_counter(), self._spec.seed
        carried = len(to_bytes(self._state)) if self._variates is not None and self._state else 0
        facts = self._history.facts(number)
        cohort = select_cohort(self._spec.cohort, self._place.keys(), derive_seed(seed, "cohort", number), facts=facts)
        assert cohort is not None  # noqa: S101 - all clients are at hand, and they are enough
        members = cohort.members
        attackers = tuple(name for name in members if name in self._attackers)
        received = self._score_shares(members)
        with Gathering(len(members), self._layout, budget=self._memory_bytes, folder=self._folder) as gathering:
            trained = self._train(engine, number, members, gathering)
            self._forge(number, members, gathering)
            kept = self._accepted(len(members), gathering)
            diagnoses = self._aggregate(number, cohort, kept, trained, gathering)
            norms = [each.norm for each in diagnoses] or _at(kept, gathering.norms())
        delivered = [
            Delivered(
                client=members[place],
                num_examples=trained.num_examples[place],
                num_steps=trained.num_steps[place],
                train_loss=trained.loss[place],
                train_accuracy=trained.accuracy[place],
                received=received.get(members[place]),
                norm=norm,
            )
            for place, norm in zip(kept, norms, strict=True)
        ]
        self._history.note(number, delivered)
        scores, accepted = self._score(number), set(kept)
        down, up = self._sizes
        return SimulatedRound(
            round=number,
            void=len(kept) < cohort.quorum,
            loss=scores.loss if scores else None,
            accuracy=scores.accuracy if scores else None,
            per_class_accuracy=scores.per_class_accuracy if scores else None,
            train_loss=_mean(trained.loss, trained.num_examples),
            train_accuracy=_mean(trained.accuracy, trained.num_examples),
            backdoor=evaluate(self._model, self._triggers).accuracy if scores and self._triggers else None,
            seconds=time.perf_counter() - began,
            bytes_down=(down + carried) * len(members),
            bytes_up=up * len(members),
            participants=members,
            refused=tuple(name for place, name in enumerate(members) if place not in accepted),
            attackers=attackers,
            delivered=delivered,
            diagnoses=diagnoses,
            weights=self._weights,
            state=self._state,
        )

    def _train(self, engine: Engine, number: int, members: tuple[str, ...], gathering: Gathering) -> LocalUpdates:
        """Everything but the deltas, which go to `gathering`."""
        seed, clients = self._spec.seed, self._population.clients
        places = [self._place[name] for name in members]
        work = [Work(clients[place], derive_seed(seed, "train", number, place)) for place in places]
        if self._variates is not None:
            corrections = self._variates.corrections(members, self._state)
            work = [replace(each, correction=made) for each, made in zip(work, corrections, strict=True)]
        trained = LocalUpdates.nothing()
        for some in engine.train(self._weights, work):
            gathering.take(some.deltas)
            trained.count(some)
            self._on_progress(Trained(number, len(trained), len(work)))
            if self._should_stop():
                raise Stopped
        return trained

    def _forge(self, number: int, members: tuple[str, ...], gathering: Gathering) -> None:
        attack, places = self._attack, [p for p, name in enumerate(members) if name in self._attackers]
        if attack is None or not places:
            return
        generator = torch.Generator().manual_seed(derive_seed(self._spec.seed, "attack", number))
        if attack.alone is not None:
            for place in places:
                gathering.replace(place, attack.alone(gathering.row(place), generator))
        if attack.together is not None:
            known = [p for p, name in enumerate(members) if name not in self._attackers] or places
            updates = gathering.updates(known, [members[p] for p in known])
            sent = told(attack.together(updates, len(places)), updates)
            for place in places:
                gathering.replace(place, sent)

    def _accepted(self, count: int, gathering: Gathering) -> list[int]:
        """The updates within the norm bound."""
        bound = self._spec.aggregation.max_update_norm
        return list(range(count)) if bound is None else [p for p, norm in enumerate(gathering.norms()) if norm <= bound]

    def _aggregate(
        self, number: int, cohort: Cohort, kept: list[int], trained: LocalUpdates, gathering: Gathering
    ) -> list[Diagnosis]:
        """Makes the next model."""
        if len(kept) < cohort.quorum:
            return []
        names = [cohort.members[place] for place in kept]
        claims = [
            Claim(name, name, trained.num_examples[place], trained.num_steps[place])
            for place, name in zip(kept, names, strict=True)
        ]
        changes = None
        if self._variates is not None:
            changes = self._variates.changes(
                names,
                [partial(gathering.row, place) for place in kept],
                [trained.num_steps[place] for place in kept],
                self._spec.training.learning_rate,
                self._state,
            )
        made = aggregate_updates(
            self._spec.aggregation,
            self._weights,
            claims,
            gathering.updates(kept, names),
            training=self._spec.training,
            state=self._state,
            seed=derive_seed(self._spec.seed, "aggregate", number),
            changes=changes,
            clients=len(self._place),
        )
        if changes is not None:
            changes.commit()
        self._weights, self._state = made.weights, made.state
        return made.diagnoses

    def _score_shares(self, members: tuple[str, ...]) -> dict[str, Evaluation]:
        """The model that the members received, each on what it holds out."""
        held = self._population.held
        if not held or not self._spec.evaluation.nodes:
            return {}
        self._model.load_state_dict(self._weights)
        shares = {name: held[self._place[name]] for name in members}
        pool = self._population.pool
        return {name: evaluate(self._model, pool.take(share)) for name, share in shares.items() if len(share)}

    def _score(self, number: int) -> Evaluation | None:
        evaluation = self._spec.evaluation
        due = number % evaluation.every == 0 or number == self._spec.rounds
        if self._population.test is None or not evaluation.server or not due:
            return None
        self._model.load_state_dict(self._weights)
        return evaluate(self._model, self._population.test)


def _check_same(made: SimulatedRound, told: Start) -> None:
    """Refuses (invalid_argument) to go on from a model that the rounds until then do not make."""
    if to_bytes(made.weights) != to_bytes(told.weights):
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"round {told.round} simulated once more, for its clients' control variates, made another model.",
            "simulate from the first round: the model was rolled back, or made by another release or machine",
        )


def _at(places: list[int], values: list[float]) -> list[float]:
    return [values[place] for place in places]


def _mean(values: list[float], counts: list[int]) -> float:
    return math.fsum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)
