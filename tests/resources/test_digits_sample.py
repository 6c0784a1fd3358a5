"""The digits that the browser node carries are the catalogue's, value by value."""

from __future__ import annotations

import gzip
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from federation.examples import Examples
from resources.datasets import catalogue

ROOT = Path(__file__).resolve().parents[2]
COUNT = 1437 + 360


@pytest.fixture(scope="module")
def sample() -> bytes:
    return (ROOT / "web" / "src" / "data" / "digits.bin").read_bytes()


def test_the_committed_file_is_what_the_script_writes(sample: bytes) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "digits_sample.py"))
    assert script["SAMPLE"].read_bytes() == sample
    assert gzip.decompress(sample) == script["payload"]()
    assert gzip.decompress(script["packed"](b"abc" * 40)) == b"abc" * 40


@pytest.mark.parametrize(("split", "start", "stop"), [("train", 0, 1437), ("test", 1437, COUNT)])
def test_it_holds_the_catalogues_splits_in_their_order(sample: bytes, split: str, start: int, stop: int) -> None:
    values = np.frombuffer(gzip.decompress(sample), dtype=np.uint8)
    assert len(values) == COUNT * 65
    x = values[: COUNT * 64].reshape(64, COUNT).T[start:stop].astype(np.float32) / 16
    found = Examples(torch.from_numpy(x).reshape(-1, 1, 8, 8), torch.from_numpy(values[COUNT * 64 :][start:stop] + 0))
    wanted = catalogue.load("digits", "train" if split == "train" else "test")
    assert torch.equal(found.x, wanted.x)
    assert torch.equal(found.y.to(torch.int64), wanted.y)


def test_it_is_small(sample: bytes) -> None:
    assert len(sample) <= 60 * 1024
