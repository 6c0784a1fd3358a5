"""Cutting one labelled data set into disjoint shares, one for each node.

A cut depends on the labels, the spec and the seed alone, so the server and every node compute the same one without
talking. The draws come from one `numpy.random.Generator`; NumPy promises equal draws within a release, not between
releases (NEP 19).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federation.data_spec import PartitionSpec
from federation.errors import ErrorCode, Refused

Indices = NDArray[np.int64]

_DRAWS = 100


def partition(
    labels: NDArray[np.integer],
    spec: PartitionSpec,
    seed: int,
    users: NDArray[np.generic] | None = None,
    sizes: NDArray[np.integer] | None = None,
) -> list[Indices]:
    """Cut the examples 0..n-1 into `spec.parts` shares.

    Args:
        labels: class of each example, integers, shape [n].
        spec: kind of cut and its options.
        seed: of the random generator; the same seed gives the same cut.
        users: whose each example is, shape [n]; only `natural` needs it.
        sizes: how much each example counts towards the size of its user, shape [n]; default: all the same.

    Returns:
        One sorted int64 array of indices a share: disjoint, none shorter than `spec.min_examples`; together all n,
        save for `natural` with the largest users, which leaves the others out.

    Raises:
        Refused: INVALID_SPEC, when no such cut exists or none was found.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have one axis, not {labels.ndim}")
    if len(labels) < spec.parts * spec.min_examples:
        raise Refused(
            ErrorCode.INVALID_SPEC,
            f"{len(labels)} examples cannot be cut into {spec.parts} parts of at least {spec.min_examples}.",
            f"lower data.partition.parts to {max(1, len(labels) // spec.min_examples)} or less, "
            "or lower data.partition.min_examples",
        )
    rng = np.random.default_rng(seed)
    match spec.kind:
        case "iid":
            shares = iid(len(labels), spec.parts, rng)
        case "dirichlet":
            shares = dirichlet(labels, spec.parts, spec.alpha, rng, min_examples=spec.min_examples)
        case "shards":
            shares = shards(labels, spec.parts, spec.shards_per_part, rng)
        case "natural":
            shares = natural(users, spec.parts, rng) if spec.users == "all" else largest(users, spec.parts, sizes)
    smallest = min(len(share) for share in shares)
    if smallest < spec.min_examples:
        mend = "raise data.partition.alpha, " if spec.kind == "dirichlet" else ""
        raise Refused(
            ErrorCode.INVALID_SPEC,
            f"the smallest of {spec.parts} {spec.kind} parts holds {smallest} examples, fewer than "
            f"data.partition.min_examples = {spec.min_examples}.",
            f"{mend}lower data.partition.parts, or lower data.partition.min_examples",
        )
    return [np.sort(share).astype(np.int64, copy=False) for share in shares]


def iid(n: int, parts: int, rng: np.random.Generator) -> list[Indices]:
    """A random permutation in equal pieces: sizes differ by one at most."""
    return np.array_split(rng.permutation(n), parts)


def dirichlet(
    labels: NDArray[np.integer], parts: int, alpha: float, rng: np.random.Generator, *, min_examples: int = 1
) -> list[Indices]:
    """Label skew: for each class, the parts' proportions are one draw of a symmetric Dirichlet(alpha).

    The measure of skew is that of Hsu et al. 2019 (arXiv:1909.06335); the draw by class, the rule that a part which
    already holds its even share gets nothing more, and the redraw while a part is short of `min_examples`, are those
    of NIID-Bench (Li et al. 2022, arXiv:2102.02079). After 100 draws the last one is returned, short as it is.
    """
    shares: list[Indices] = []
    for _ in range(_DRAWS):
        shares = _dirichlet_once(labels, parts, alpha, rng)
        if min(len(share) for share in shares) >= min_examples:
            break
    return shares


def _dirichlet_once(labels: NDArray[np.integer], parts: int, alpha: float, rng: np.random.Generator) -> list[Indices]:
    even = len(labels) / parts
    sizes = np.zeros(parts, dtype=np.int64)
    pieces: list[list[Indices]] = [[] for _ in range(parts)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        proportions = rng.dirichlet(np.full(parts, alpha)) * (sizes < even)
        if proportions.sum() == 0:  # a small alpha underflows: the whole class goes to the smallest part
            proportions[sizes.argmin()] = 1.0
        cuts = (np.cumsum(proportions / proportions.sum()) * len(members)).astype(np.int64)[:-1]
        for part, piece in enumerate(np.split(members, cuts)):
            pieces[part].append(piece)
            sizes[part] += len(piece)
    return [np.concatenate(own) for own in pieces]


def shards(labels: NDArray[np.integer], parts: int, per_part: int, rng: np.random.Generator) -> list[Indices]:
    """Sort by label, cut into `parts * per_part` shards, deal each part `per_part` (McMahan et al. 2017, §3)."""
    count = parts * per_part
    if count > len(labels):
        raise Refused(
            ErrorCode.INVALID_SPEC,
            f"{parts} parts of {per_part} shards need {count} examples; there are {len(labels)}.",
            "lower data.partition.parts or data.partition.shards_per_part",
        )
    shuffled = rng.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    pieces = np.array_split(by_label, count)
    dealt = rng.permutation(count).reshape(parts, per_part)
    return [np.concatenate([pieces[shard] for shard in hand]) for hand in dealt]


def natural(users: NDArray[np.generic] | None, parts: int, rng: np.random.Generator) -> list[Indices]:
    """By the data set's own users, dealt in random order; a user's examples stay together."""
    names, owner = _by_user(users, parts)
    part_of_user = np.empty(len(names), dtype=np.int64)
    part_of_user[rng.permutation(len(names))] = np.arange(len(names)) % parts
    return [np.flatnonzero(part_of_user[owner] == part) for part in range(parts)]


def largest(users: NDArray[np.generic] | None, parts: int, sizes: NDArray[np.integer] | None = None) -> list[Indices]:
    """Each share is one of the data set's own users: those with most examples, the largest first, ties by name.

    With `sizes` [n] a user is as large as its examples' sizes together. Nothing is drawn.
    """
    _, owner = _by_user(users, parts)
    size = np.bincount(owner, weights=sizes)
    order = np.argsort(-size, kind="stable")  # owners are numbered by name
    return [np.flatnonzero(owner == user) for user in order[:parts]]


def _by_user(users: NDArray[np.generic] | None, parts: int) -> tuple[NDArray[np.generic], Indices]:
    """The users' names, sorted, and the place in them of each example's user."""
    if users is None:
        raise Refused(
            ErrorCode.INVALID_SPEC,
            "data.partition.kind `natural` needs examples that belong to users, and this data set names none.",
            "choose iid, dirichlet or shards",
        )
    names, owner = np.unique(users, return_inverse=True)
    if len(names) < parts:
        raise Refused(
            ErrorCode.INVALID_SPEC,
            f"{len(names)} users cannot fill {parts} parts.",
            f"lower data.partition.parts to {len(names)} or less",
        )
    return names, owner.astype(np.int64, copy=False)


def label_counts(labels: NDArray[np.integer], shares: Sequence[Indices]) -> NDArray[np.int64]:
    """How many examples of each class each share holds: int64 [parts, classes], classes 0..max(labels)."""
    classes = int(labels.max()) + 1 if len(labels) else 0
    return np.stack([np.bincount(labels[share], minlength=classes) for share in shares]).astype(np.int64)
