"""The rate limits of a server, as its settings have them."""

from __future__ import annotations

from mcp_server.limits import LimitSettings
from tools.rate import Failures, RateLimit, Rates, predictions


def rates_of(settings: LimitSettings) -> Rates:
    """Limits with nothing counted yet."""
    return Rates(
        handshakes=RateLimit("handshake calls", settings.handshakes_per_minute),
        uploads=RateLimit("announced or sent uploads", settings.uploads_per_minute),
        upload_mib=RateLimit("MiB of uploads", settings.upload_mib_per_minute),
        predictions=predictions(settings.predictions_per_minute),
        hub_searches=RateLimit("searches of the Hub", settings.hub_searches_per_minute),
        llm_calls=RateLimit("calls that may ask a language model", settings.llm_calls_per_minute),
        sessions=RateLimit("new sessions", settings.sessions_per_minute),
        failures=Failures(settings.failures_per_minute),
    )
