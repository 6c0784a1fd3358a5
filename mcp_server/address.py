"""Where the server of a data directory listens: a file beside the database, there while it accepts connections."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

ADDRESS_FILE = "server.json"


@dataclass(frozen=True)
class Address:
    """A server of this machine, and the certificate that it shows, if any."""

    url: str
    pid: int
    certificate: Path | None = None


def write_address(data_dir: Path, url: str, certificate: Path | None) -> None:
    """Says where this process listens."""
    told = {"url": url, "pid": os.getpid()}
    if certificate is not None:
        told["certificate"] = str(certificate.resolve())
    draft = data_dir / f".{ADDRESS_FILE}"
    draft.write_text(json.dumps(told))
    draft.replace(data_dir / ADDRESS_FILE)


def read_address(data_dir: Path) -> Address | None:
    """Where a server said that it listens; a killed one may have left the file behind."""
    try:
        told = json.loads((data_dir / ADDRESS_FILE).read_text())
        certificate = told.get("certificate")
        return Address(str(told["url"]), int(told["pid"]), Path(certificate) if certificate else None)
    except (OSError, ValueError, KeyError):
        return None


def remove_address(data_dir: Path) -> None:
    """Says that nobody listens any more."""
    (data_dir / ADDRESS_FILE).unlink(missing_ok=True)
