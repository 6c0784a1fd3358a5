"""Hypothesis as a source of cases: the same seed, the same cases, drawn at once for a server that runs."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

HUGE = [2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, -1, 0]
WORDS = [
    "",
    " ",
    "\x00",
    "\ud800",
    "é",
    "\u202e",
    "a" * 5_000,
    "../../server.key",
    "'; DROP TABLE nodes; --",
    "%00",
    "{}",
]


def draw(strategy: SearchStrategy[T], count: int, number: int) -> list[T]:
    """`count` cases. Their order and kind follow from `number`."""
    found: list[T] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(case: T) -> None:
        found.append(case)

    collect()
    while len(found) < count:  # few distinct values: hypothesis stops when it has seen them all
        found += found[: count - len(found)]
    return found[:count]


def nested(depth: int) -> object:
    """Lists in lists."""
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def junk() -> SearchStrategy[object]:
    """What no argument is meant to be."""
    scalars: SearchStrategy[object] = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(HUGE),
        st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e308, -0.0, 5e-324]),
        st.sampled_from(WORDS),
        st.text(max_size=40),
    )
    few = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )
    return few | st.sampled_from([nested(50), nested(300), {"a": nested(100)}, [0] * 2_000])


def mutated(data: bytes) -> SearchStrategy[bytes]:
    """`data` with a few bytes changed, cut out, put in or moved."""

    def apply(edits: list[tuple[str, int, bytes]]) -> bytes:
        made = bytearray(data)
        for kind, place, piece in edits:
            at = place % (len(made) + 1)
            if kind == "set":
                made[at : at + len(piece)] = piece
            elif kind == "insert":
                made[at:at] = piece
            elif kind == "cut":
                del made[at : at + 1 + len(piece) * 7]
            else:
                del made[at:]
        return bytes(made)

    edit = st.tuples(
        st.sampled_from(["set", "set", "set", "insert", "cut", "end"]),
        st.integers(0, 1 << 20),
        st.binary(min_size=1, max_size=9),
    )
    return st.lists(edit, min_size=1, max_size=4).map(apply)
