"""Token buckets: how often a caller may ask for what costs the server something."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from federation.errors import ErrorCode, Refused

_BUCKETS = 10_000


class Buckets:
    """A bucket for each key, full at first; a minute fills it with `per_minute`, up to `burst`.

    Memory is bounded: beyond 10,000 keys the one that was used least recently is forgotten, which is a full bucket
    unless thousands of others were used since.
    """

    def __init__(self, *, per_minute: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}  # key -> (tokens left, at)

    def __len__(self) -> int:
        return len(self._levels)

    def wait(self, key: str, cost: float = 1) -> float:
        """Seconds until the bucket holds `cost`; 0: now. What costs more than a bucket holds waits for a full one."""
        left, _ = self._level(key)
        return max(0.0, (min(cost, self._burst) - left) / self._per_second)

    def take(self, key: str, cost: float = 1) -> None:
        """Takes `cost` out, into debt if need be."""
        left, now = self._level(key)
        self._levels.pop(key, None)
        self._levels[key] = (left - cost, now)
        while len(self._levels) > _BUCKETS:  # dictionaries keep their order: the least recent is the first
            self._levels.pop(next(iter(self._levels)))

    def _level(self, key: str) -> tuple[float, float]:
        now = self._clock()
        left, at = self._levels.get(key, (self._burst, now))
        return min(self._burst, left + (now - at) * self._per_second), now


class RateLimit:
    """A bound on one kind of call, by who calls and by the address that the calls come from.

    Args:
        what: the calls in words, for the refusal.
        per_minute: what one caller may do in the long run; 0: no bound.
        burst: what it may do at once; default: a minute's worth.
        address_factor: how many callers' worth an address may do. Many nodes share an address behind a router.
    """

    def __init__(
        self,
        what: str,
        per_minute: float,
        *,
        burst: float | None = None,
        address_factor: float = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._per_minute = per_minute
        burst = per_minute if burst is None else burst
        self._callers = Buckets(per_minute=per_minute, burst=burst, clock=clock)
        self._addresses = Buckets(per_minute=per_minute * address_factor, burst=burst * address_factor, clock=clock)

    def take(self, caller: str, address: str, cost: float = 1) -> None:
        """Counts a call of `cost`, or refuses it (rate_limited) and counts nothing.

        Without a token a caller is its address; without an address (in one process) it is its token.
        """
        if not self._per_minute:
            return
        keys = [(self._callers, caller if caller != "anonymous" else f"anonymous@{address}")]
        if address:
            keys.append((self._addresses, address))
        wait = max(buckets.wait(key, cost) for buckets, key in keys)
        if wait > 0:
            raise Refused(
                ErrorCode.RATE_LIMITED,
                f"more than {self._per_minute:g} {self._what} a minute.",
                f"try again in {wait:.1f} seconds",
                retry_after_s=wait,
            )
        for buckets, key in keys:
            buckets.take(key, cost)


class Failures:
    """Wrong bearer tokens, by address: after too many, an address hears 429 instead of 401."""

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._buckets = Buckets(per_minute=per_minute, burst=per_minute, clock=clock)

    def wait(self, address: str) -> float:
        """Seconds for which this address is not believed; 0: it may try."""
        return self._buckets.wait(address) if self._per_minute else 0.0

    def count(self, address: str) -> None:
        """A token was wrong."""
        if self._per_minute:
            self._buckets.take(address)


@dataclass(frozen=True)
class Rates:
    """Every limit of a server. docs/protocol.md lists the settings they come from."""

    handshakes: RateLimit = field(default_factory=lambda: RateLimit("handshake calls", 6_000))
    uploads: RateLimit = field(default_factory=lambda: RateLimit("announced or sent uploads", 12_000))
    upload_mib: RateLimit = field(default_factory=lambda: RateLimit("MiB of uploads", 16_384))
    predictions: RateLimit = field(default_factory=lambda: predictions(120))
    hub_searches: RateLimit = field(default_factory=lambda: RateLimit("searches of the Hub", 30))
    llm_calls: RateLimit = field(default_factory=lambda: RateLimit("calls that may ask a language model", 20))
    sessions: RateLimit = field(default_factory=lambda: RateLimit("new sessions", 3_000))
    failures: Failures = field(default_factory=lambda: Failures(60))


def predictions(per_minute: float, clock: Callable[[], float] = time.monotonic) -> RateLimit:
    """Of `predict`: a sixth of a minute's worth at once, and ten people at one address."""
    return RateLimit("predictions", per_minute, burst=max(1.0, per_minute / 6), address_factor=10, clock=clock)
