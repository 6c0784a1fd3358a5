"""Counters for /metrics, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from federation.coordinator.federation import Federation
from federation.coordinator.traffic import Traffic


class Telemetry:
    """One registry a server, so that two in one process do not share their counts."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._registry = CollectorRegistry()
        self._registry.register(_Bytes(federation.traffic))
        self._calls = Counter("potluck_tool_calls", "Tool calls.", ["tool", "outcome"], registry=self._registry)
        self._seconds = Histogram("potluck_tool_seconds", "Duration of tool calls.", ["tool"], registry=self._registry)
        self._states = Gauge(
            "potluck_records", "Records by kind and state.", ["kind", "state"], registry=self._registry
        )
        self._disk = Gauge("potluck_spool_bytes", "Bytes of blobs on disk.", registry=self._registry)

    def called(self, tool: str, outcome: Literal["ok", "refused", "error"], seconds: float) -> None:
        """A tool call ended."""
        self._calls.labels(tool, outcome).inc()
        self._seconds.labels(tool).observe(seconds)

    async def render(self) -> bytes:
        """The text of /metrics, with the states as the database has them now."""
        self._states.clear()
        for (kind, state), count in (await self._federation.views.counts()).items():
            self._states.labels(kind, state).set(count)
        self._disk.set(self._federation.shared.spool.used_bytes())
        return generate_latest(self._registry)


class _Bytes(Collector):
    """The coordinator's own count of what crossed each lane."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("potluck_bulk_bytes", "Bytes of models and updates.", labels=["lane", "direction"])
        for (lane, direction), size in self._traffic.totals.items():
            family.add_metric([lane, direction], size)
        yield family
