"""Where pfl (pfl-research) is installed for the benchmarks."""

from __future__ import annotations

from pathlib import Path

from benchmarks import peer_home

VERSION = "0.6.0"
HOME = peer_home.CACHE / f"pfl-{VERSION}"


def install(home: Path) -> Path:
    """Makes the environment, with the torch that runs here, unless it is there; NotMeasured when that fails."""
    return peer_home.install(home, [f"pfl[pytorch]=={VERSION}", peer_home.same_torch()])
