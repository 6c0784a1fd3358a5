"""docs/hub.md: its example is a task that can be made, and its bounds are the code's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from federation.spec import parse_spec
from resources.datasets import named
from resources.datasets.hub import files, images, numbers
from resources.datasets.text import files as texts
from resources.workload import Workload
from tests.docs.pages import blocks, page
from tests.resources.hub.parquet_files import images as things
from tests.resources.hub.parquet_files import laid_out


def test_the_example_is_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "decoded"))
    folder = laid_out(tmp_path, {"train.parquet": things(40), "test.parquet": things(10, seed=1)})
    (example,) = [block.code for block in blocks(page("docs/hub.md")) if block.language == "json"]
    spec, workload = parse_spec(json.loads(example)), Workload(folder)
    assert workload.check(spec) == []
    settled = workload.settle(spec)
    assert settled.data.pin is not None
    assert named.inferred(settled) is None
    assert sum(len(share) for share in workload.cut(settled)) == 40


def test_the_bounds_are_those_of_the_code() -> None:
    said = page("docs/hub.md")
    assert (files.MOST_BYTES, named.LOOK_BYTES, images.MOST_DECODED) == (1 << 30, 32 << 20, 2 << 30)
    assert (numbers.MOST_VALUES // 10**6, texts.MOST_BYTES >> 20, texts.MOST_ROWS) == (268, 64, 10**6)
    for bound in ("1 GiB", "32 MiB", "2 GiB", "268 million", "64 MiB, a million rows"):
        assert bound in said
