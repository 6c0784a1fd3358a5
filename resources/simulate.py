"""What a simulation runs on, from a task's spec and the catalogue: as a server and its nodes would have it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from federation.errors import ErrorCode, Refused
from federation.partition import partition
from federation.simulation.population import Population, clients_of
from federation.spec import TaskSpec, derive_seed
from federation.training import held_out_places
from resources.datasets import catalogue as datasets
from resources.models.catalogue import cost, create_model


def population_of(spec: TaskSpec, *, folder: Path | None = None) -> Population:
    """The data set cut into the spec's parts, each without what its node would hold out, and the model.

    Args:
        folder: where data sets' files may be; default: the environment's POTLUCK_DATA.

    Raises:
        Refused: INVALID_SPEC for `own` data; NOT_FOUND, INVALID_SPEC, DATA_UNAVAILABLE as models and data sets refuse.
    """
    if spec.data.id == "own":
        raise Refused(
            ErrorCode.INVALID_SPEC, "own data is on its nodes, not here.", "simulate with a data set of the catalogue"
        )
    card = datasets.card(spec.data.id)
    cost(spec.model.id, input_shape=card.input_shape, num_classes=card.num_classes, options=spec.model.options)
    pool = datasets.load(spec.data.id, "train", folder=folder)
    seed, shares, held = spec.partition_seed, [], []
    for index, share in enumerate(partition(pool.y.numpy(), spec.data.partition, seed)):
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
    test = datasets.load(spec.data.id, "test", folder=folder) if spec.evaluation.server else None
    return Population(clients_of(shares), pool, test, factory, held)
