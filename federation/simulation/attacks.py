"""What Byzantine clients do, for study: some lie about their data, some about their updates.

Attackers that lie about updates know all honest ones of the round, the strongest adversary of the literature; those of
alie, ipm and min_max all send the same. An attack never sees the rule's choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import torch
from torch import Tensor

from federation.aggregation.blocks import Updates
from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.simulation.clients import Client
from federation.simulation.forging import Lie, spread_of

AttackName = Literal["label_flip", "sign_flip", "gaussian", "alie", "ipm", "min_max", "backdoor"]


@dataclass(frozen=True)
class Attack:
    """One attack of the literature.

    Attributes:
        poison: changes an attacker's share before training; None when it trains honestly.
        alone: what an attacker sends in place of its update [p], float32, where it looks at no other; with a generator,
            which the attackers draw from in order.
        together: what all attackers send, given the honest updates of the round and the number of attackers.

    Without either of the last two, attackers send what they trained.
    """

    name: AttackName
    paper: str
    poison: Callable[[Client, Examples, int], Client] | None = None
    alone: Callable[[Tensor, torch.Generator], Tensor] | None = None
    together: Callable[[Updates, int], Lie] | None = None


def label_flip(client: Client, pool: Examples, classes: int) -> Client:
    """Every label y becomes C - 1 - y."""
    return Client(client.name, client.indices, classes - 1 - pool.y[client.indices])


def sign_flip(own: Tensor, generator: torch.Generator) -> Tensor:
    """-Δ: a step in the direction it came from."""
    return -own


def gaussian(own: Tensor, generator: torch.Generator) -> Tensor:
    """Noise in place of an update: normal, of standard deviation 1 in each coordinate."""
    return torch.randn(own.shape, generator=generator, dtype=own.dtype)


def alie(honest: Updates, attackers: int) -> Lie:
    """A little is enough: mean - z std per coordinate, z as large as passes for a supporter of the median.

    Section 3.2 of the paper: s = ⌊n/2 + 1⌋ - f honest updates must be won; z = Φ⁻¹((n - f - s) / (n - f)). Few
    attackers of few clients get no z above 0 by it (2 of 10; 20 of 100 get 0.29): they send the honest mean, and harm
    nobody.
    """
    n = len(honest) + attackers
    supporters = math.floor(n / 2 + 1) - attackers
    share = (n - attackers - supporters) / (n - attackers)
    return Lie(mean=1.0, std=-NormalDist().inv_cdf(min(max(share, 0.5), 1 - 1e-3)))


def inner_product(honest: Updates, attackers: int) -> Lie:
    """-ε times the honest mean, ε = 0.5 in the spirit of the paper's small ε: the sum may still point the wrong way."""
    return Lie(mean=-0.5)


def min_max(honest: Updates, attackers: int) -> Lie:
    """mean - γ std / |std|, with the largest γ that is no further from any honest update than they are from each other.

    The paper's AGR-agnostic attack with its inverse standard deviation; γ by bisection to one part in a thousand. All
    distances follow from the centred updates' products with each other and with std.
    """
    spread = spread_of(honest)
    if spread.length == 0:
        return Lie(mean=1.0)
    low, high = 0.0, 4 * spread.widest + 1e-12
    while high - low > 1e-3 * max(low, 1e-12) and high > 1e-12:
        gamma = (low + high) / 2
        low, high = (gamma, high) if spread.furthest(gamma) <= spread.widest else (low, gamma)
    return Lie(mean=1.0, std=-low / spread.length)


ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        Attack("label_flip", "Tolpegin et al. 2020, arXiv:2007.08432", poison=label_flip),
        Attack("sign_flip", "Li et al. 2019 (RSA), arXiv:1811.03761", alone=sign_flip),
        Attack("gaussian", "Blanchard et al. 2017, NeurIPS, section 6", alone=gaussian),
        Attack("alie", "Baruch et al. 2019, arXiv:1902.06156", together=alie),
        Attack("ipm", "Xie et al. 2020, arXiv:1903.03936", together=inner_product),
        Attack("min_max", "Shejwalkar and Houmansadr 2021, NDSS, section IV-C", together=min_max),
        Attack("backdoor", "Gu et al. 2017, arXiv:1708.06733; Bagdasaryan et al. 2020, arXiv:1807.00459"),
    )
}


def find_attack(name: str) -> Attack:
    """The attack of that name; refused when there is none."""
    try:
        return ATTACKS[name]
    except KeyError:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT, f"there is no attack {name!r}.", f"use one of {', '.join(ATTACKS)}"
        ) from None


def attackers_among(names: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """Which clients attack: ⌊share · n⌋ of them, drawn once for the whole run."""
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    return frozenset(names[place] for place in order[: attackers_in(len(names), share)])


def attackers_in(clients: int, share: float) -> int:
    """How many of the clients attack."""
    return math.floor(share * clients + 1e-9)
