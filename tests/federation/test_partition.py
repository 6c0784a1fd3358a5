from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federation.data_spec import PartitionSpec
from federation.errors import ErrorCode, Refused
from federation.partition import label_counts, partition

LABELS = np.random.RandomState(0).randint(0, 10, 1200)
USERS = np.arange(1200) % 37


def cut(seed: int = 0, labels: Any = LABELS, **options: Any) -> list[np.ndarray[Any, Any]]:
    return partition(labels, PartitionSpec(**options), seed, users=USERS if options["kind"] == "natural" else None)


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "shards", "natural"])
@pytest.mark.parametrize("parts", [1, 4, 17])
def test_shares_are_sorted_disjoint_and_cover_everything(kind: str, parts: int) -> None:
    shares = cut(kind=kind, parts=parts)
    assert len(shares) == parts
    assert all(share.dtype == np.int64 and (np.diff(share) > 0).all() for share in shares)
    assert np.array_equal(np.sort(np.concatenate(shares)), np.arange(1200))
    assert min(map(len, shares)) >= 10


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "shards", "natural"])
def test_the_seed_alone_decides_the_cut(kind: str) -> None:
    np.random.seed(1)
    first = cut(kind=kind, seed=7)
    np.random.seed(2)
    again, other = cut(kind=kind, seed=7), cut(kind=kind, seed=8)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_iid_shares_differ_by_one_example_at_most() -> None:
    assert sorted(map(len, cut(kind="iid", parts=7))) == [171] * 4 + [172] * 3


def skew(alpha: float) -> float:
    """Mean share of a part's most frequent class: 0.1 without skew, 1 when each part holds one class."""
    counts = np.concatenate(
        [label_counts(LABELS, cut(kind="dirichlet", parts=6, alpha=alpha, seed=s)) for s in range(5)]
    )
    return float((counts.max(axis=1) / counts.sum(axis=1)).mean())


def test_a_smaller_alpha_gives_more_skew() -> None:
    skews = [skew(alpha) for alpha in (100.0, 1.0, 0.1)]
    assert skews[0] < 0.17 < skews[1] < skews[2]
    assert skews[2] > 0.4


def test_a_tiny_alpha_gives_each_class_to_one_part() -> None:
    counts = label_counts(LABELS, cut(kind="dirichlet", parts=5, alpha=1e-4))
    assert ((counts > 0).sum(axis=0) == 1).all()


def test_dirichlet_draws_again_until_every_part_has_enough() -> None:
    for seed in range(20):
        assert min(map(len, cut(kind="dirichlet", parts=20, alpha=0.5, min_examples=15, seed=seed))) >= 15


def test_a_dirichlet_cut_that_cannot_be_found_is_refused() -> None:
    with pytest.raises(Refused, match=r"raise data\.partition\.alpha") as caught:
        cut(kind="dirichlet", parts=11, alpha=1e-4, min_examples=100)  # ten classes, each to one part
    assert caught.value.code is ErrorCode.INVALID_SPEC


def test_a_part_of_two_shards_holds_at_most_four_classes() -> None:
    counts = label_counts(LABELS, cut(kind="shards", parts=20, shards_per_part=2))
    assert ((counts > 0).sum(axis=1) <= 4).all()  # a shard can straddle one border between classes
    assert (counts > 0).sum(axis=1).mean() < 3.5


def test_shards_of_balanced_classes_are_pure() -> None:
    labels = np.repeat(np.arange(10), 20)
    counts = label_counts(labels, cut(labels=labels, kind="shards", parts=10, shards_per_part=2))
    assert ((counts > 0).sum(axis=1) <= 2).all()


def test_a_user_is_never_cut_in_two() -> None:
    owners = [set(USERS[share]) for share in cut(kind="natural", parts=5)]
    assert sum(map(len, owners)) == 37
    assert set().union(*owners) == set(range(37))


LARGEST = PartitionSpec(kind="natural", users="largest", parts=3, min_examples=1)
FEW = np.array(["bo", "al", "cy", "bo", "cy", "di", "bo"])


def test_the_largest_users_are_a_share_each_in_falling_order_and_the_others_are_left_out() -> None:
    none = np.zeros(7, dtype=np.int64)
    assert [share.tolist() for share in partition(none, LARGEST, 0, users=FEW)] == [[0, 3, 6], [2, 4], [1]]
    by_size = partition(none, LARGEST, 1, users=FEW, sizes=np.array([1, 9, 3, 1, 3, 8, 1]))
    assert [share.tolist() for share in by_size] == [[1], [5], [2, 4]]
    assert all(share.dtype == np.int64 for share in by_size)


def test_fewer_users_than_shares_of_the_largest_are_refused_and_so_are_too_small_ones() -> None:
    for changed, problem in (({"parts": 5}, "4 users cannot fill 5 parts"), ({"min_examples": 2}, "holds 1 examples")):
        with pytest.raises(Refused, match=problem) as caught:
            partition(np.zeros(7, dtype=np.int64), LARGEST.model_copy(update=changed), 0, users=FEW)
        assert caught.value.code is ErrorCode.INVALID_SPEC
    with pytest.raises(Refused, match="names none"):
        partition(LABELS, LARGEST, 0)


def test_natural_needs_users_and_enough_of_them() -> None:
    with pytest.raises(Refused, match="names none"):
        partition(LABELS, PartitionSpec(kind="natural"), 0)
    with pytest.raises(Refused, match="37 users cannot fill 38 parts"):
        cut(kind="natural", parts=38)


def test_a_cut_finer_than_the_examples_is_refused_with_the_number_that_would_do() -> None:
    with pytest.raises(Refused, match="to 120 or less"):
        cut(kind="iid", parts=121)


def test_more_shards_than_examples_are_refused() -> None:
    with pytest.raises(Refused, match="need 2000 examples"):
        cut(kind="shards", parts=2, shards_per_part=1000)


def test_label_counts_add_up() -> None:
    shares = cut(kind="dirichlet", parts=3)
    counts = label_counts(LABELS, shares)
    assert counts.sum(axis=1).tolist() == [len(share) for share in shares]
    assert counts.sum(axis=0).tolist() == np.bincount(LABELS).tolist()
