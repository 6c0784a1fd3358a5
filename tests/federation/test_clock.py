"""The system's clock is read once."""

from __future__ import annotations

import time

import pytest

from federation.clock import SteadyClock


def test_a_steady_clock_tells_unix_time() -> None:
    before = time.time()
    told = SteadyClock()()
    assert before - 0.001 <= told <= time.time() + 1


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_steady_clock_goes_on_evenly_when_the_systems_is_set(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    clock = SteadyClock()
    before = clock()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert 0 <= clock() - before < 3600
    assert abs(SteadyClock()() - before - jump) < 3600, "the next process takes the time as it is set"
