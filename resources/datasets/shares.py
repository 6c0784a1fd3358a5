"""Which examples of a training set are whose: the spec alone decides, so server and nodes agree without talking."""

from __future__ import annotations

from pathlib import Path

from federation.errors import ErrorCode, Refused
from federation.partition import Indices, partition
from federation.spec import TaskSpec
from resources.datasets import catalogue


def cut(spec: TaskSpec, *, folder: Path | None = None) -> list[Indices]:
    """The training set's examples by share: sorted places from 0, before any node holds out some of its own.

    Args:
        folder: where data sets' files may be; default: the environment's POTLUCK_DATA.

    Raises:
        Refused: INVALID_ARGUMENT for `own` data, which nobody can cut; else as `catalogue.labels` and `partition`.
    """
    if spec.data.id == "own":
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            "the task has no data set to share out: each node brings its own.",
            "train on data of your own, and join with own_data=true",
        )
    labels = catalogue.labels(spec.data.id, "train", folder=folder)
    return partition(labels, spec.data.partition, spec.partition_seed)
