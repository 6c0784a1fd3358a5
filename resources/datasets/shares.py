"""Which examples of a training set are whose: the spec alone decides, so server and nodes agree without talking."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from federation.errors import ErrorCode, Refused
from federation.partition import Indices, partition
from federation.spec import TaskSpec
from resources.datasets import named
from resources.datasets.card import TextCard, Texts
from resources.datasets.text.rows import Labelled, Rows, characters

_CHARACTERS_PER_TOKEN = 4
"""Of English, by a vocabulary of ten thousand tokens and more; smaller ones and other languages make more tokens."""


def cut(spec: TaskSpec, *, folder: Path | None = None) -> list[Indices]:
    """The training set's examples by share: sorted places from 0, before any node holds out some of its own.

    Args:
        folder: where data sets' files may be; default: the environment's POTLUCK_DATA.

    Raises:
        Refused: INVALID_ARGUMENT for `own` data, which nobody can cut; else as `named.labels`, or as `texts_card`
            and `named.texts`, and `partition`.
    """
    if spec.data.id == "own":
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            "the task has no data set to share out: each node brings its own.",
            "train on data of your own, and join with own_data=true",
        )
    if spec.model.pretrained:
        texts_card(spec)
        return cut_texts(spec, named.texts(spec, "train", folder=folder))
    labels = named.labels(spec, "train", folder=folder)
    users = named.users(spec, "train", folder=folder) if spec.data.partition.kind == "natural" else None
    return partition(labels, spec.data.partition, spec.partition_seed, users=users)


def texts_card(spec: TaskSpec) -> TextCard:
    """The card of the text data set that the task names.

    Raises:
        Refused: as `named.text_card`; INVALID_SPEC for a task that classifies: no catalogued text has a label.
    """
    card = named.text_card(spec)
    if spec.model.classifies and not spec.data.on_the_hub:
        problem = f"data.id: the texts of {card.id} have no labels, and the task classifies."
        mend = "use `own` data of texts and labels, or set model.task to causal_lm"
        raise Refused(ErrorCode.INVALID_SPEC, problem, mend)
    return card


def cut_texts(spec: TaskSpec, texts: Texts) -> list[Indices]:
    """As `cut`, of these texts. `min_examples` counts texts.

    Raises:
        Refused: INVALID_SPEC for a cut by classes, which texts have not; else as `partition`.
    """
    kind = spec.data.partition.kind
    if kind in ("dirichlet", "shards") and not spec.model.classifies:
        problem = f"data.partition.kind: {kind} cuts by classes, and the texts of {spec.data.id} have none."
        raise Refused(ErrorCode.INVALID_SPEC, problem, "choose iid or natural")
    sizes = np.array([characters(row) for row in texts.rows], dtype=np.int64)
    users = np.array(texts.users) if any(texts.users) else None
    return partition(_classes(texts.rows), spec.data.partition, spec.partition_seed, users=users, sizes=sizes)


def _classes(rows: Rows) -> Indices:
    """Of texts without a label, 0."""
    return np.array([row.label if isinstance(row, Labelled) else 0 for row in rows], dtype=np.int64)


def examples_per_node(spec: TaskSpec) -> int | None:
    """Examples that a node of average share trains on; None where nobody knows. Of texts it is an estimate.

    Raises:
        Refused: as `named.image_card` or `texts_card`.
    """
    if spec.data.id == "own":
        return None
    part, kept = spec.data.partition, 1 - spec.data.holdout
    if not spec.model.pretrained:
        return max(1, round(named.image_card(spec).num_train / part.parts * kept))
    card = texts_card(spec)
    count, length = card.num_train / part.parts, card.train_characters / part.parts
    if part.kind == "natural" and part.users == "largest":  # far above the average: they are counted, if they are here
        if not named.present(spec, "train"):
            return None
        texts = named.texts(spec, "train")
        sizes = [characters(texts.rows[place]) for share in cut_texts(spec, texts) for place in share]
        count, length = len(sizes) / part.parts, sum(sizes) / part.parts
    if spec.text.packing and not spec.model.classifies:
        count = length / _CHARACTERS_PER_TOKEN / spec.text.max_length
    return max(1, round(count * kept))
