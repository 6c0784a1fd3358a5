"""Each rule on numbers that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from federation.aggregation import bulyan, mixing
from federation.aggregation.trimmed_mean import trimmed, trimmed_mean
from federation.aggregation.weighing import tolerated
from federation.aggregation.weighting import shares
from federation.errors import ErrorCode, Refused
from tests.federation.aggregation.small_round import Round, direction

ON_A_LINE = [[0, 0], [1, 0], [2, 0], [4, 0], [100, 0]]  # distances are differences


def test_krum_takes_the_update_with_the_nearest_neighbours() -> None:
    # f = 1: the 5 - 1 - 2 = 2 nearest count. Scores: 1 + 4, 1 + 1, 1 + 4, 4 + 9, 96² + 98².
    with Round(ON_A_LINE) as small:
        done = small.run("krum", options={"f": 1})
    assert done.weights["a.scalar"].item() == 1.0
    assert [each.score for each in done.diagnoses] == pytest.approx([5, 2, 5, 13, 18820])
    assert [each.weight for each in done.diagnoses] == [0, 1, 0, 0, 0]
    assert done.diagnoses[1].reason == ""
    assert done.diagnoses[4].reason == "excluded: score 1.882e+04, the chosen one has 2"


def test_krum_breaks_a_tie_by_the_distances_to_all_and_then_by_node_id() -> None:
    # Two pairs of equal updates have equal scores, 0 + 1. The second pair is closer to the fifth update.
    assert direction("krum", [[0, 0], [1, 0], [0, 0], [1, 0], [50, 0]], options={"f": 1})[0] == 1.0
    assert direction("krum", [[1, 0], [0, 0], [1, 0], [0, 0], [50, 0]], options={"f": 1})[0] == 1.0
    # The fifth is as far from either pair.
    assert direction("krum", [[0, 0], [1, 0], [0, 0], [1, 0], [0.5, 50]], options={"f": 1})[0] == 0.0
    assert direction("krum", [[1, 0], [0, 0], [1, 0], [0, 0], [0.5, 50]], options={"f": 1})[0] == 1.0


def test_multi_krum_is_the_mean_of_the_n_minus_f_best() -> None:
    assert direction("multi_krum", ON_A_LINE, options={"f": 1})[0] == pytest.approx(7 / 4)
    assert direction("multi_krum", ON_A_LINE, options={"f": 1, "m": 1})[0] == 1.0
    assert direction("multi_krum", ON_A_LINE, options={"f": 1, "m": 3})[0] == pytest.approx(1.0)


def test_multi_krum_never_averages_more_than_are_honest() -> None:
    assert direction("multi_krum", ON_A_LINE, options={"f": 1, "m": 5})[0] == pytest.approx(7 / 4)


def test_median_is_the_middle_of_each_coordinate() -> None:
    assert direction("median", [[1, 30], [2, 10], [900, 20]]).tolist() == [2, 20]
    assert direction("median", [[1, 30], [2, 10], [3, 20], [900, -5]]).tolist() == [2.5, 15]
    assert direction("median", [[7, 8]]).tolist() == [7, 8]


def test_trimmed_mean_drops_beta_n_at_each_end() -> None:
    assert direction("trimmed_mean", ON_A_LINE, options={"beta": 0.2})[0] == pytest.approx(7 / 3)
    assert direction("trimmed_mean", ON_A_LINE, options={"beta": 0.4})[0] == 2.0
    assert direction("trimmed_mean", ON_A_LINE, options={"beta": 0.0})[0] == pytest.approx(107 / 5)
    assert direction("trimmed_mean", ON_A_LINE, options={"f": 2})[0] == 2.0


def test_beta_n_is_rounded_down_and_no_rounding_error_takes_one_away() -> None:
    assert [trimmed(10, beta) for beta in (0.0, 0.1, 0.19, 0.3, 0.49)] == [0, 1, 1, 3, 4]
    assert trimmed(10, 0.1 + 0.2) == trimmed(100, 0.29) - 26 == 3  # 0.29 * 100 is 28.999…
    assert trimmed(4, 0.4999999999) == 1


def test_a_robust_rule_withstands_a_fifth_and_at_least_one() -> None:
    assert [tolerated("median", n, None, (n - 1) // 2, of=n) for n in (1, 2, 3, 4, 9, 10, 15, 35)] == [
        0,
        0,
        1,
        1,
        1,
        2,
        3,
        7,
    ]
    for rule in ("median", "trimmed_mean", "geometric_median"):
        assert abs(direction(rule, [[1, 0], [1, 0], [1e9, 0]])[0] - 1) < 1e-6


def test_bulyan_averages_what_lies_around_the_median_of_the_selected() -> None:
    # n = 7, f = 1: five are selected, by the squared distances to 4, 3, 2, 1 and 1 nearest of those left.
    # Of 0 1 2 4 8 16 99: 2 (4+1+4+36 = 45; 1: 1+1+9+49 = 60; 4: 9+4+16+16 = 45 as well, and less to all: 4 it is).
    # Of 0 1 2 8 16 99: 1 (1+1+49 = 51; 0: 69; 2: 41: so 2). Of 0 1 8 16 99: 1 (1+49 = 50; 0: 65).
    # Of 0 8 16 99: 8 and 0 and 16 have their nearest at 64, 64, 64; the least to all has 16. Of 0 8 99: 0 and 8 at 64,
    # and 8 is closer to 99.
    with Round([[value, 0] for value in (0, 1, 2, 4, 8, 16, 99)]) as small:
        done = small.run("bulyan", options={"f": 1})
    assert [each.reason for each in done.diagnoses] == [
        "excluded: not among the selected", "", "", "", "", "", "excluded: not among the selected"
    ]  # fmt: skip
    assert done.weights["a.scalar"].item() == pytest.approx((1 + 2 + 4) / 3)  # closest to the median of 1 2 4 8 16


def test_the_values_around_the_median_are_a_window_of_the_sorted_ones() -> None:
    rows = np.array([[0.0, 4, 5, 6, 20], [0, 1, 2, 8, 9], [1, 2, 3, 3, 3]])
    assert bulyan.mean_around_median(rows, 1).tolist() == [5, 1, 3]
    assert bulyan.mean_around_median(rows, 0).tolist() == [7, 4, 2.4]
    even = np.array([[0.0, 1, 2, 10]])  # median 1.5: 1 and 2 are closest
    assert bulyan.mean_around_median(even, 1).tolist() == [1.5]


def test_the_geometric_median_of_a_triangle_is_its_fermat_point() -> None:
    # Seen from the Fermat point of an equilateral triangle all corners are 120° apart: its centre.
    triangle = [[0, 0], [2, 0], [1, math.sqrt(3)]]
    assert direction("geometric_median", triangle) == pytest.approx([1, 1 / math.sqrt(3)], abs=1e-9)


def test_the_geometric_median_on_a_line_is_the_median() -> None:
    assert direction("geometric_median", ON_A_LINE)[0] == pytest.approx(2.0, abs=1e-4)


def test_most_updates_in_one_point_are_the_geometric_median() -> None:
    assert direction("geometric_median", [[3, 4]] * 3 + [[1e9, 0], [0, 1e9]]) == pytest.approx([3, 4], abs=1e-6)


def test_centered_clipping_pulls_with_tau_at_most() -> None:
    # From 0 with τ = 1: 3 of 4 updates lie at 1 and pull by 1, the far one pulls by 1 as well: (3 - 1) / 4.
    line = [[1, 0], [1, 0], [1, 0], [-1000, 0]]
    assert direction("centered_clipping", line, options={"tau": 1.0, "iterations": 1})[0] == pytest.approx(0.5)
    # The second step starts at 0.5: 3 pull by 0.5, the far one by -1: 0.5 + (1.5 - 1) / 4.
    assert direction("centered_clipping", line, options={"tau": 1.0, "iterations": 2})[0] == pytest.approx(0.625)


def test_centered_clipping_takes_the_median_distance_when_no_radius_is_given() -> None:
    with Round([[3, 0], [4, 0], [1000, 0]]) as small:  # from 0 the radius is 4: (3 + 4 + 4) / 3
        done = small.run("centered_clipping", options={"iterations": 1})
    assert done.weights["a.scalar"].item() == pytest.approx(11 / 3)
    assert done.diagnoses[2].reason == "clipped: to 0.004 of its distance"


def test_norm_clipping_shortens_what_is_longer_than_the_bound() -> None:
    with Round([[3, 4], [0, 10], [0, 0]]) as small:
        done = small.run("norm_clipping", options={"max_norm": 2.0})
    assert done.weights["a.scalar"].item() == pytest.approx(1.2 / 3)
    assert done.weights["b.rest"].tolist() == pytest.approx([(1.6 + 2) / 3])
    assert [each.reason for each in done.diagnoses] == [
        "clipped: to 0.4 of its norm 5", "clipped: to 0.2 of its norm 10", ""
    ]  # fmt: skip
    assert [each.norm for each in done.diagnoses] == pytest.approx([5, 10, 0])


def test_norm_clipping_takes_the_median_norm_when_no_bound_is_given() -> None:
    assert direction("norm_clipping", [[2, 0], [0, 3], [-300, 0]]) == pytest.approx([(2 - 3) / 3, 1])


def test_norm_clipping_may_weigh_by_capped_counts() -> None:
    found = direction("norm_clipping", [[2, 0], [0, 3], [-300, 0]], counts=[1, 2, 10**6], weighting="capped")
    assert found == pytest.approx([2 / 5 - 3 * 2 / 5, 3 * 2 / 5])  # weights 1, 2, 2 of 5


def test_nearest_neighbour_mixing_averages_the_n_minus_f_closest() -> None:
    rows = np.array([[0.0], [1], [3], [100]])
    mixed = mixing.nearest_neighbours(rows @ rows.T, 1) @ rows
    assert mixed.ravel() == pytest.approx([4 / 3, 4 / 3, 4 / 3, 104 / 3])
    assert mixing.nearest_neighbours(rows @ rows.T, 0) == pytest.approx(np.full((4, 4), 0.25))


def test_buckets_are_a_partition_into_groups_of_the_size_asked_for() -> None:
    matrix = mixing.buckets(7, 3, seed=5)
    assert matrix.shape == (3, 7)
    assert sorted((matrix > 0).sum(axis=1)) == [1, 3, 3]
    assert (matrix > 0).sum(axis=0).tolist() == [1] * 7
    assert matrix.sum(axis=1) == pytest.approx([1, 1, 1])
    assert (mixing.buckets(7, 3, seed=5) == matrix).all()
    assert any((mixing.buckets(7, 3, seed=seed) != matrix).any() for seed in range(5))


def test_capped_weights_count_no_more_than_the_median() -> None:
    assert shares([1, 2, 3], "capped") == [1 / 5, 2 / 5, 2 / 5]
    assert shares([10, 10**9], "capped") == [0.5, 0.5]  # of two in the middle, the smaller
    assert shares([5, 5, 10**9, 10**9], "capped") == [0.25] * 4
    assert shares([3, 1], "examples") == [0.75, 0.25]
    assert shares([3, 1], "uniform") == [0.5, 0.5]


def test_a_mean_of_sorted_rows_in_float32_is_taken_in_float64() -> None:
    row = np.array([[-3e38, 3e38, 3e38, 3e38, 3e38]], dtype=np.float32)
    assert trimmed_mean(row, 0.2).tolist() == [float(np.float32(3e38))]


@pytest.mark.parametrize("rule", ["krum", "multi_krum"])
def test_krum_needs_two_f_and_three(rule: str) -> None:
    with pytest.raises(Refused, match="cannot withstand f = 2 among 5 updates, at most 1") as caught:
        direction(rule, ON_A_LINE, options={"f": 2})
    assert caught.value.code is ErrorCode.QUORUM_MISSED


def test_bulyan_needs_four_f_and_three() -> None:
    with pytest.raises(Refused, match="at most 0"):
        direction("bulyan", np.eye(6), options={"f": 1})
    assert np.isfinite(direction("bulyan", np.eye(7), options={"f": 1})).all()
    with pytest.raises(Refused, match="no answer for 2 updates"):
        direction("bulyan", np.eye(2))
