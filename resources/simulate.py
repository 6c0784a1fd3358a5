"""What a simulation runs on, from a task's spec and the catalogue: as a server and its nodes would have it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from federation.errors import ErrorCode, Refused
from federation.examples import held_out_places
from federation.partition import partition
from federation.simulation.backdoor import check_patchable
from federation.simulation.engine import EngineName, check_float32, suited_to
from federation.simulation.options import Wish
from federation.simulation.population import Population, clients_of
from federation.simulation.refusals import check_simulated_model, check_simulation
from federation.simulation.vectorized import check_vectorizes
from federation.spec import TaskSpec, derive_seed
from resources.datasets import named
from resources.models.catalogue import cost, create_model


def population_of(spec: TaskSpec, *, folder: Path | None = None) -> Population:
    """The data set cut into the spec's parts, each without what its node would hold out, and the model.

    Args:
        folder: where data sets' files may be; default: the environment's POTLUCK_DATA.

    Raises:
        Refused: INVALID_SPEC for `own` data; NOT_FOUND, INVALID_SPEC, DATA_UNAVAILABLE as models and data sets refuse.
    """
    _check_spec(spec)
    spec = named.settle(spec, folder=folder)
    card = named.image_card(spec)
    cost(spec.model.id, input_shape=card.input_shape, num_classes=card.num_classes, options=spec.model.options)
    pool = named.load(spec, "train", folder=folder)
    users = named.users(spec, "train", folder=folder) if spec.data.partition.kind == "natural" else None
    seed, shares, held = spec.partition_seed, [], []
    for index, share in enumerate(partition(pool.y.numpy(), spec.data.partition, seed, users=users)):
        trained_on, scored_on = held_out_places(len(share), spec.data.holdout, derive_seed(seed, "holdout", index))
        shares.append(torch.from_numpy(share)[trained_on])
        held.append(torch.from_numpy(share)[scored_on])
    factory = partial(
        create_model,
        spec.model.id,
        input_shape=card.input_shape,
        num_classes=card.num_classes,
        options=dict(spec.model.options),
        seed=spec.seed,
    )
    test = None
    if spec.evaluation.server:
        test = named.load(spec, "test", folder=folder).first(spec.evaluation.examples)
    return Population(clients_of(shares), pool, test, factory, held)


class Simulator:
    """Simulations of a server: each in a process of its own, with a data set of the catalogue."""

    def plan(self, spec: TaskSpec, wish: Wish) -> EngineName:
        """The engine that the wish comes to. Refuses what `population_of` and `simulate` would, without the images."""
        _check_spec(spec)
        if wish.workers is not None and wish.engine != "processes":
            mend = "give engine=processes as well, or leave workers out"
            raise Refused(ErrorCode.INVALID_ARGUMENT, "workers belong to the engine processes.", mend)
        check_simulation(spec, spec.data.partition.parts, attack=wish.attack, attackers=wish.attackers)
        card = named.image_card(spec)
        if wish.attack == "backdoor":
            check_patchable(card.input_shape)
        named.labels(spec, "train")  # a task is not to find out that there are none
        shape, classes, options = card.input_shape, card.num_classes, spec.model.options
        model = create_model(spec.model.id, input_shape=shape, num_classes=classes, options=options, seed=spec.seed)
        check_float32(model)
        if wish.engine == "vectorized":
            check_vectorizes(model)
        return wish.engine or suited_to(model)

    def command(self) -> tuple[Sequence[str], Path]:
        """This interpreter and the module that simulates, and the folder in which Python finds that."""
        return (sys.executable, "-m", "resources.simulation_child"), Path(__file__).resolve().parent.parent


def _check_spec(spec: TaskSpec) -> None:
    check_simulated_model(spec.model.id)
    if spec.data.id == "own":
        raise Refused(
            ErrorCode.INVALID_SPEC, "own data is on its nodes, not here.", "simulate with a data set of the catalogue"
        )
