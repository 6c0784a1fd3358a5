"""Makes `parquet_files` importable; a Hub with an empty cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub, reach, served

from resources.hub.asking import forget

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A data set's repository without files, and empty lists."""
    monkeypatch.delenv("POTLUCK_DATA", raising=False)
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "decoded"))
    hub = FakeHub("acme/things", kind="datasets")
    forget()
    with served(hub):
        reach(monkeypatch, hub.url, tmp_path / "cache")
        yield hub
    forget()
