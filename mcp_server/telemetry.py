"""Counters for /metrics, in the format of Prometheus."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from federation.coordinator.federation import Federation


class Telemetry:
    """One registry a server, so that two in one process do not share their counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter("potluck_tool_calls", "Tool calls.", ["tool", "outcome"], registry=self._registry)
        self._seconds = Histogram("potluck_tool_seconds", "Duration of tool calls.", ["tool"], registry=self._registry)
        self._bytes = Counter(
            "potluck_bulk_bytes", "Bytes of models and updates.", ["lane", "direction"], registry=self._registry
        )
        self._states = Gauge(
            "potluck_records", "Records by kind and state.", ["kind", "state"], registry=self._registry
        )
        self._disk = Gauge("potluck_spool_bytes", "Bytes of blobs on disk.", registry=self._registry)

    def called(self, tool: str, outcome: Literal["ok", "refused", "error"], seconds: float) -> None:
        """A tool call ended."""
        self._calls.labels(tool, outcome).inc()
        self._seconds.labels(tool).observe(seconds)

    def moved(self, lane: Literal["raw", "in-band"], direction: Literal["up", "down"], size: int) -> None:
        """Bytes of a model or an update crossed a lane."""
        self._bytes.labels(lane, direction).inc(size)

    async def render(self, federation: Federation) -> bytes:
        """The text of /metrics, with the states as the database has them now."""
        self._states.clear()
        for (kind, state), count in (await federation.views.counts()).items():
            self._states.labels(kind, state).set(count)
        self._disk.set(federation.shared.spool.used_bytes())
        return generate_latest(self._registry)
