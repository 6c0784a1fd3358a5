"""Attacks against what their papers say, on updates small enough to reckon with directly."""

from __future__ import annotations

from statistics import NormalDist

import pytest
import torch

from federation.aggregation.memory import MemoryUpdates
from federation.simulation.attacks import ATTACKS, alie, inner_product, min_max
from federation.simulation.forging import Lie, told

NAMES = [f"client-{number}" for number in range(26)]


def honest(seed: int = 0, *, rows: int = 7) -> torch.Tensor:
    return torch.randn((rows, 30), generator=torch.Generator().manual_seed(seed)) + 0.5


def updates(rows: torch.Tensor) -> MemoryUpdates:
    """Two tensors whose order by name is not that of the columns."""
    weight, bias = rows[:, :24].reshape(-1, 4, 6), rows[:, 24:]
    return MemoryUpdates({"z.weight": weight, "a.bias": bias}, NAMES[: len(rows)])


def sent(lie: Lie, rows: torch.Tensor) -> torch.Tensor:
    return told(lie, updates(rows))


def test_a_little_is_enough_stays_z_deviations_below_the_mean() -> None:
    rows = honest()
    share = (10 - 3 - (6 - 3)) / (10 - 3)  # n = 10, f = 3: floor(10 / 2 + 1) - 3 supporters are needed
    wanted = rows.mean(dim=0) - NormalDist().inv_cdf(share) * rows.std(dim=0, correction=0)
    torch.testing.assert_close(sent(alie(updates(rows), 3), rows), wanted)


def test_a_little_is_enough_is_as_far_as_normal_tables_say_and_never_on_the_other_side() -> None:
    rows = honest(rows=26)
    deviation = rows.std(dim=0, correction=0)
    lie = sent(alie(updates(rows), 24), rows)  # of 50 the attackers need 2 more: Φ(1.4261) = 24 / 26
    torch.testing.assert_close((rows.mean(dim=0) - lie) / deviation, torch.full((30,), 1.4261), rtol=1e-4, atol=0)
    for attackers, others in ((2, 8), (1, 24)):
        few = honest(rows=others)
        torch.testing.assert_close(sent(alie(updates(few), attackers), few), few.mean(dim=0))


def test_inner_product_manipulation_points_against_the_honest_mean() -> None:
    rows = honest()
    torch.testing.assert_close(sent(inner_product(updates(rows), 2), rows), -0.5 * rows.mean(dim=0))


@pytest.mark.parametrize("seed", range(5))
def test_min_max_goes_as_far_as_the_honest_lie_apart_and_no_further(seed: int) -> None:
    rows = honest(seed).double().float()
    lie = min_max(updates(rows), 2)
    widest = float(torch.cdist(rows[None].double(), rows[None].double()).max())

    def furthest(factor: float) -> float:
        forged = rows.mean(dim=0) + factor * lie.std * rows.std(dim=0, correction=0)
        return float((rows - forged).double().norm(dim=1).max())

    assert lie.std < 0
    assert furthest(1.0) <= widest * (1 + 1e-6)
    assert furthest(1.01) > widest
    torch.testing.assert_close(sent(lie, rows), rows.mean(dim=0) + lie.std * rows.std(dim=0, correction=0))


def test_min_max_among_equal_updates_is_one_of_them() -> None:
    rows = honest(rows=1).repeat(4, 1)
    torch.testing.assert_close(sent(min_max(updates(rows), 1), rows), rows[0])


def test_every_attack_lies_in_one_way() -> None:
    for attack in ATTACKS.values():
        ways = [attack.poison, attack.alone, attack.together]
        assert sum(way is not None for way in ways) == (0 if attack.name == "backdoor" else 1), attack.name
