"""Settings that bound what callers may ask of a server: connections, requests, rates, and what is kept of refusals."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode


def split(value: object) -> object:
    """A list from text with commas, as it comes from the environment."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _networks(names: list[str]) -> list[str]:
    return [str(ip_network(name, strict=False)) for name in names]


Networks = Annotated[list[str], NoDecode, BeforeValidator(split), AfterValidator(_networks)]
"""Addresses and networks; in the environment, with commas between them."""


class LimitSettings(BaseSettings):
    """The part of the settings that is about limits. A rate of 0 is no limit."""

    trusted_proxies: Networks = Field(
        default=[], description="Proxies whose X-Forwarded-For is believed: addresses or networks."
    )
    max_connections: int = Field(default=8_000, ge=1, description="Most connections at a time.")
    max_connections_per_address: int = Field(default=5_000, ge=1, description="Most of them from one address.")
    max_header_bytes: int = Field(default=32_768, ge=1_024, le=1 << 20, description="Most bytes of a request's head.")
    header_timeout_s: float = Field(default=15, gt=0, description="Within which a request's head has to arrive.")
    body_timeout_s: float = Field(default=30, gt=0, description="For each of which a body has to bring 1 KiB/s.")
    send_timeout_s: float = Field(default=60, gt=0, description="For each of which a reader has to take 1 KiB/s.")
    session_timeout_s: float = Field(default=1_800, gt=0, description="After which an idle session is forgotten.")
    max_sessions: int = Field(default=5_000, ge=1, description="Most sessions of the older era over Streamable HTTP.")
    handshakes_per_minute: float = Field(default=6_000, ge=0, description="Calls of handshake.")
    uploads_per_minute: float = Field(default=12_000, ge=0, description="Uploads announced or sent by PUT.")
    upload_mib_per_minute: float = Field(default=16_384, ge=0, description="MiB that PUT and upload_chunk bring.")
    predictions_per_minute: float = Field(default=120, ge=0, description="Calls of predict.")
    hub_searches_per_minute: float = Field(default=30, ge=0, description="Searches that ask the Hub.")
    llm_calls_per_minute: float = Field(default=20, ge=0, description="Calls that may ask a language model.")
    sessions_per_minute: float = Field(default=3_000, ge=0, description="Sessions and SSE streams opened.")
    failures_per_minute: float = Field(default=60, ge=0, description="Wrong bearer tokens from one address.")
    node_quota_share: float = Field(
        default=0.25, gt=0, le=1, description="Share of quota_bytes that one node's open uploads may take."
    )
    max_simulations: int = Field(
        default=1, ge=0, le=64, description="Simulations that run at a time, each a process; 0: none at all."
    )
    audit_rows: int = Field(default=100_000, ge=100, description="Most rows that the journal keeps of refused calls.")
    audit_days: float = Field(default=30, gt=0, description="For which it keeps them.")
