"""Settings: by flag, by `POTLUCK_…` in the environment, or from a TOML file, in that order of precedence."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from mcp_server.limits import LimitSettings, split
from orchestrator.llm.configured import DEFAULT_MODEL, Provider

Names = Annotated[list[str], NoDecode, BeforeValidator(split)]
"""A list; in the environment, names with commas between them."""

Origins = Annotated[Names, AfterValidator(lambda origins: [origin.lower().rstrip("/") for origin in origins])]
"""Spelt as browsers spell them."""


class Settings(LimitSettings):
    """Everything about a server that its operator may choose. `docs/protocol.md` lists each setting."""

    model_config = SettingsConfigDict(env_prefix="POTLUCK_", extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=7860, ge=0, le=65_535, description="Port to listen on; 0: a free one.")
    data_dir: Path = Field(default=Path("potluck-data"), description="Database, blobs and keys; one server each.")
    open: bool = Field(default=False, description="Every caller may do everything. Loopback only, no proxy.")
    allow_host: Names = Field(default=[], description="Further host names that clients may use.")
    allow_origin: Origins = Field(default=[], description="Web origins whose pages may call, e.g. https://a.example.")
    ssl_certfile: Path | None = Field(default=None, description="TLS certificate chain (PEM).")
    ssl_keyfile: Path | None = Field(default=None, description="Its private key (PEM).")
    anonymous_role: Literal["viewer", "node", "none"] = Field(
        default="viewer", description="What a caller without a token may do; none: such a caller gets 401."
    )
    operator_token: SecretStr | None = Field(
        default=None, min_length=16, description="Presets the operator's token instead of making one."
    )
    operators: Names = Field(
        default=[], description="Names at Hugging Face that are operators once signed in; in a Space: its owner."
    )
    dashboard: bool = Field(default=True, description="Serve the pages for people at `/`, if the extra is installed.")
    quota_bytes: int | None = Field(default=None, ge=1 << 20, description="Most bytes that blobs may take on disk.")
    models: Path | None = Field(
        default=None,
        description="Folder of base models by name, e.g. acme/tiny; what is not in it comes from the Hub.",
    )
    llm: Provider = Field(
        default="auto", description="Language model for plans and texts; auto: gemini, if there is a key and the extra."
    )
    llm_model: str = Field(
        default=DEFAULT_MODEL, pattern=r"^[A-Za-z0-9._/-]{1,100}$", description="Its name, as the service has it."
    )
    llm_tokens: int = Field(default=60_000, ge=1_000, le=10_000_000, description="Most tokens that one call may use.")
    torch_threads: int = Field(default=1, ge=1, le=256, description="CPU threads for aggregation and evaluation.")
    log_format: Literal["text", "json"] = Field(default="text", description="Form of the log on stderr.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")
    base_path: str = Field(
        default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$", description="Path prefix under which a proxy serves Potluck."
    )
    conformance: bool = Field(
        default=False, description="Also offer what the official conformance suites call. Loopback only."
    )

    @model_validator(mode="after")
    def _open_stays_at_home(self) -> Self:
        if self.open and not is_loopback(self.host):
            raise ValueError(
                f"--open makes every caller an operator; it is refused on {self.host}. "
                "Mend: listen on 127.0.0.1, or leave --open out and issue tokens"
            )
        if self.conformance and not is_loopback(self.host):
            raise ValueError(
                f"--conformance offers tools that are there for test suites alone; it is refused on {self.host}. "
                "Mend: listen on 127.0.0.1, or leave --conformance out"
            )
        for flag in ("open", "conformance"):
            for sign in ("base_path", "trusted_proxies"):
                if getattr(self, flag) and getattr(self, sign):
                    raise ValueError(
                        f"--{flag} is refused together with {sign}: that is a server behind a proxy, which others can "
                        f"reach though it listens on loopback. Mend: leave --{flag} out, or {sign}"
                    )
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("TLS needs both ssl_certfile and ssl_keyfile")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file that POTLUCK_CONFIG names."""
        config = os.environ.get("POTLUCK_CONFIG")
        file = TomlConfigSettingsSource(settings_cls, Path(config)) if config else None
        return (init_settings, env_settings, *([file] if file else []))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
