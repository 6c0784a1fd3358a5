"""Where Flower is installed for the benchmarks: alone, and with its simulation (Ray) and torch."""

from __future__ import annotations

from pathlib import Path

from benchmarks import peer_home

VERSION = "1.41.0"
HOME = peer_home.CACHE / f"flower-{VERSION}"
SIMULATION_HOME = peer_home.CACHE / f"flower-simulation-{VERSION}"
_MARKER = "bin/flower-superlink"


def installed(home: Path) -> Path | None:
    """The environment, if Flower is installed there."""
    return peer_home.installed(home, _MARKER)


def install(home: Path) -> Path:
    """Makes the environment unless it is there; raises NotMeasured with pip's own words when that fails."""
    return peer_home.install(home, [f"flwr=={VERSION}"], _MARKER)


def install_simulation(home: Path) -> Path:
    """As `install`, with Ray and the torch that runs here."""
    return peer_home.install(home, [f"flwr[simulation]=={VERSION}", peer_home.same_torch()])
