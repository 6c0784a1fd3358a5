"""FedAvg: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data",
arXiv:1602.05629, Algorithm 1.

    w_{t+1} = sum_k (n_k / n) w^k_{t+1}        with n = sum_k n_k

The weights sum to 1, so with deltas it is the same as w_{t+1} = w_t + sum_k (n_k / n) (w^k_{t+1} - w_t).
"""

from __future__ import annotations

from collections.abc import Sequence

from federation.errors import ErrorCode, Refused


def weights(counts: Sequence[int], *, uniform: bool = False) -> list[float]:
    """n_k / n for each count of examples n_k, in the order given; with `uniform`, 1 / K for each of the K."""
    if not counts:
        raise Refused(
            ErrorCode.QUORUM_MISSED, "there are no updates to average.", "wait until a node has submitted one"
        )
    for count in counts:
        if type(count) is not int or count < 1:
            raise Refused(
                ErrorCode.BAD_COUNT,
                f"an update claims {count!r} examples; a weight needs a whole number of at least 1.",
                "submit the number of examples that the node has trained on",
            )
    if uniform:
        return [1 / len(counts)] * len(counts)
    total = sum(counts)
    return [count / total for count in counts]
