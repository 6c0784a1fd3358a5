"""A Hub whose client has an empty cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from resources.hub.asking import forget
from tests.resources.fake_hub import FakeHub, reach, served


@pytest.fixture(scope="module")
def _served() -> Iterator[FakeHub]:
    with served(FakeHub("acme/things", kind="datasets")) as hub:
        yield hub


@pytest.fixture
def hub(_served: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A data set's repository without files, and empty lists."""
    monkeypatch.delenv("POTLUCK_DATA", raising=False)
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "decoded"))
    empty = FakeHub("acme/things", kind="datasets", url=_served.url)
    for each in fields(FakeHub):
        setattr(_served, each.name, getattr(empty, each.name))
    forget()
    reach(monkeypatch, _served.url, tmp_path / "cache")
    yield _served
    forget()
