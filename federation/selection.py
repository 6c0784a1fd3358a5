"""Who is drawn for a round, as pure functions of what is known of the nodes.

Every draw is seeded, and depends on the set of nodes and on the facts about them, not on the order in which they came.
What a node says of itself (its examples, its loss, its speed) is taken at its word: a node that wants to be drawn more
often than its due can have that under every strategy but `uniform`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

LOOK_BACK = 100
"""Rounds that count. Who has not delivered for longer is unknown again, and so gets heard again."""
EXPLORE = 0.1
"""speed: the share of seats for nodes that would come too late, so that their speed is measured again (Oort's ε)."""
PENALTY = 2.0
"""speed: α of Oort's (T / t)^α, by which a node that takes t > T loses weight."""
ACCELERATED = 4.0
"""speed: how many times faster than a CPU an accelerator is taken to be, until it has been measured. A guess."""
_LEAST_S, _SOON_S = 1e-3, 1e-2
_ACCELERATORS = ("cuda", "gpu", "mps", "tpu", "npu", "rocm", "xpu")


@dataclass(frozen=True)
class Facts:
    """What is known of a node in one task; None is unknown.

    Attributes:
        examples: that it trained on last.
        loss: of the global model on its data, as it last reported.
        seconds: from assignment to update, in its latest rounds.
        rate: its examples a second, as it reported while it trained, over all passes of a round.
        device: as it said when it shook hands.
    """

    examples: int | None = None
    loss: float | None = None
    seconds: float | None = None
    rate: float | None = None
    device: str = "cpu"


NOTHING = Facts()


def draw_uniform(nodes: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` of the nodes, each as likely as the next, without replacement."""
    return [str(node) for node in np.random.default_rng(seed).choice(sorted(nodes), size=count, replace=False)]


def draw_by_examples(facts: Mapping[str, Facts], count: int, seed: int) -> list[str]:
    """`count` nodes one after the other, each draw in proportion to the examples of those left."""
    return _weighted(examples_of(facts), count, np.random.default_rng(seed))


def draw_by_speed(facts: Mapping[str, Facts], count: int, seed: int, *, deadline_s: float) -> list[str]:
    """`count` nodes, preferring those that finish before the deadline, and among them the quicker.

    After FedCS (Nishio & Yonetani 2019, arXiv:1804.08333), which takes the clients that make the deadline, and Oort
    (Lai et al. 2021, arXiv:2010.06081), whose system utility (T/t)^α and share of exploration it takes. Simplified:
    nodes work at the same time, so FedCS's schedule of one shared uplink becomes a bound on each node's own time; T is
    the task's deadline and not paced; the loss has no part in the utility; ε is constant.

    Each seat is one for exploration with the probability `EXPLORE`. The other seats go to nodes with t <= T, drawn in
    proportion to 1/t; exploration draws from the rest, by utility. Either takes from the other when it runs out.
    """
    generator = np.random.default_rng(seed)
    seconds = seconds_of(facts)
    able = {node: 1 / t for node, t in seconds.items() if t <= deadline_s}
    late = {node: (deadline_s / t) ** PENALTY for node, t in seconds.items() if t > deadline_s}
    explored = min(len(late), max(int(generator.binomial(count, EXPLORE)), count - len(able)))
    return _weighted(able, count - explored, generator) + _weighted(late, explored, generator)


def draw_by_loss(facts: Mapping[str, Facts], count: int, seed: int, *, candidates: int | None) -> list[str]:
    """Power-of-choice (Cho, Wang & Joshi 2020, arXiv:2010.01243): of `candidates` nodes (default: twice `count`), drawn
    in proportion to their examples, the `count` with the highest loss.

    It is the paper's variant without extra communication (rpow-d): the loss is the one that the node reported when it
    last took part, not that of today's model. A node without one counts as the highest, so everyone gets heard; equal
    losses go in the order of the draw.
    """
    generator = np.random.default_rng(seed)
    asked = min(len(facts), max(count, 2 * count if candidates is None else candidates))
    drawn = _weighted(examples_of(facts), asked, generator)
    return sorted(drawn, key=lambda node: -_highest_if_unknown(facts[node].loss))[:count]


def examples_of(facts: Mapping[str, Facts]) -> dict[str, float]:
    """Examples of each node; a node that has delivered nothing yet counts as the mean of those that have."""
    known = [each.examples for each in facts.values() if each.examples]
    usual = fmean(known) if known else 1.0
    return {node: float(each.examples or usual) for node, each in facts.items()}


def seconds_of(facts: Mapping[str, Facts]) -> dict[str, float]:
    """How long each node is expected to take, in seconds.

    As long as in its latest rounds; else its examples at the rate that it reported; else as long as the measured nodes
    in the middle, if their devices are equally quick. Where nobody was measured, all make the deadline.
    """
    examples = examples_of(facts)
    measured = {node: each.seconds for node, each in facts.items() if each.seconds is not None}
    measured |= {node: examples[node] / each.rate for node, each in facts.items() if each.rate and node not in measured}
    usual = median(t * _quickness(facts[node]) for node, t in measured.items()) if measured else _SOON_S
    return {node: max(_LEAST_S, measured.get(node, usual / _quickness(each))) for node, each in facts.items()}


def jain(counts: Sequence[float]) -> float:
    """Jain's fairness index (Jain, Chiu & Hawe 1984): (Σx)² / (n Σx²), from 1/n (one has all) to 1 (all have the same).

    1 when nobody has anything.
    """
    squares = sum(x * x for x in counts)
    return sum(counts) ** 2 / (len(counts) * squares) if squares else 1.0


def _weighted(weights: Mapping[str, float], count: int, generator: np.random.Generator) -> list[str]:
    """`count` keys in the order in which they are drawn, by weight and without replacement."""
    if not count:
        return []
    names = sorted(weights)
    values = np.array([weights[name] for name in names], dtype=np.float64)
    drawn = generator.choice(names, size=count, replace=False, p=values / values.sum(), shuffle=True)
    return [str(name) for name in drawn]


def _quickness(facts: Facts) -> float:
    device = facts.device.lower()
    return ACCELERATED if any(word in device for word in _ACCELERATORS) else 1.0


def _highest_if_unknown(loss: float | None) -> float:
    return math.inf if loss is None or not math.isfinite(loss) else loss
