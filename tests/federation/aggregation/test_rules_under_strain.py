"""What has brought other systems down: absurd numbers, many updates, few file descriptors, files that change."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from federation.aggregation.files import FileUpdates
from federation.errors import ErrorCode, Refused
from federation.layout import read_layout
from federation.weights import check_update, pack_update, to_bytes
from tests.federation.aggregation.small_round import Round, direction, draw, row_of

ROBUST = [
    "krum", "multi_krum", "bulyan", "median", "trimmed_mean",
    "geometric_median", "centered_clipping", "norm_clipping",
]  # fmt: skip
EACH_RULE = pytest.mark.parametrize("rule", ROBUST)
EACH_MIXING = pytest.mark.parametrize("mixing", ["none", "nnm", "bucketing"])


@EACH_RULE
@EACH_MIXING
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_updates_near_the_largest_float_are_withstood_and_described(rule: str, mixing: str, dtype: torch.dtype) -> None:
    rows = draw(0, 15)
    for far in (3e38, -3e38, 1e30):
        rows[3], rows[7] = far, (far if rule == "median" else -far)
        with Round(rows, dtype=dtype) as small:
            done = small.run(rule, mixing=mixing, options={"f": 1 if mixing == "bucketing" else 2})
            done = small.run(rule, mixing=mixing) if mixing == "none" else done
        if mixing != "bucketing" or rule in ("centered_clipping", "norm_clipping"):
            assert np.abs(row_of(done.weights)).max() < 20
        for each in done.diagnoses:
            assert math.isfinite(each.norm)
            assert -1.001 < each.cosine < 1.001
        assert done.diagnoses[3].norm == pytest.approx(abs(far) * math.sqrt(6), rel=1e-2)


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "geometric_median", "centered_clipping"])
@pytest.mark.parametrize("seed", range(6))
def test_a_fifth_of_the_updates_is_withstood_in_buckets_too_unless_f_says_otherwise(rule: str, seed: int) -> None:
    rows = np.vstack([draw(0, 16), np.full((4, 6), 1e6)])
    found = direction(rule, rows, mixing="bucketing", bucket_size=2, seed=seed)
    assert np.abs(found).max() < 5


@EACH_RULE
@EACH_MIXING
@pytest.mark.parametrize("value", [0.0, 1e-40, -1e-45, 1e-25])
def test_zero_and_denormal_updates_pass_every_rule(rule: str, mixing: str, value: float) -> None:
    with Round(np.full((9, 4), value), dtype=torch.float32) as small:
        done = small.run(rule, mixing=mixing)
        stored = torch.tensor(value, dtype=torch.float32).item()
    assert row_of(done.weights) == pytest.approx(np.full(4, stored), rel=1e-6, abs=2e-44)  # a denormal's ulp is 1.4e-45
    assert all(each.norm == pytest.approx(2 * abs(stored), rel=1e-6) for each in done.diagnoses)


@EACH_RULE
@EACH_MIXING
def test_a_zero_update_among_others_divides_nothing_by_zero(rule: str, mixing: str) -> None:
    rows = draw(0, 9)
    rows[4] = 0
    with Round(rows) as small:
        done = small.run(rule, mixing=mixing)
    assert np.isfinite(row_of(done.weights)).all()
    assert (done.diagnoses[4].norm, done.diagnoses[4].cosine) == (0.0, 0.0)


@EACH_RULE
@EACH_MIXING
def test_where_most_updates_are_zero_the_answer_is(rule: str, mixing: str) -> None:
    rows = np.zeros((15, 4))
    rows[2] = 1e6
    assert np.abs(direction(rule, rows, mixing=mixing, options={"f": 1})).max() < 1e-6


@pytest.mark.parametrize("rule", ["fedavg", "fedavgm", "fedadam"])
def test_means_describe_huge_and_denormal_updates_as_well(rule: str) -> None:
    options = {} if rule == "fedavg" else {"eta": 1.0}
    for value in (1e18, 1e-40):
        with Round([[value, 0, 0], [0, 0, value]], dtype=torch.float32) as small:
            done = small.run(rule, options=options)
            stored = torch.tensor(value, dtype=torch.float32).item()
        for each in done.diagnoses:
            assert each.norm == pytest.approx(stored, rel=1e-6)
            assert each.cosine == pytest.approx(math.sqrt(0.5), rel=1e-4)
            assert each.weight == 0.5


def test_a_mean_describes_updates_whose_squares_float32_cannot_hold() -> None:
    with Round([[1e30, 0], [0, 1e-3]], dtype=torch.float32) as small:
        done = small.run("fedavg")
    assert [each.norm for each in done.diagnoses] == pytest.approx([1e30, 1e-3])
    assert [each.cosine for each in done.diagnoses] == pytest.approx([1.0, 0.0], abs=1e-6)


def test_an_update_too_long_for_distances_in_float64_is_never_accepted(tmp_path: Path) -> None:
    base, path = tmp_path / "base", tmp_path / "update"
    base.write_bytes(to_bytes({"w": torch.zeros(2, dtype=torch.float64)}))
    for large in (1e151, 1e154, 1e300):
        path.write_bytes(pack_update({"w": torch.full((2,), large, dtype=torch.float64)}))
        with pytest.raises(Refused, match="too large to square"):
            check_update(path, read_layout(base), max_norm=None)
    path.write_bytes(pack_update({"w": torch.full((2,), 1e149, dtype=torch.float64)}))
    assert check_update(path, read_layout(base), max_norm=None) == pytest.approx(math.sqrt(2) * 1e149)


@EACH_RULE
@EACH_MIXING
def test_the_longest_updates_that_are_accepted_are_withstood(rule: str, mixing: str) -> None:
    rows = draw(0, 15)
    rows[3] = 1e149
    with Round(rows) as small:
        done = small.run(rule, mixing=mixing, options={"f": 1})
    assert np.abs(row_of(done.weights)).max() < 20
    assert all(math.isfinite(each.norm) and math.isfinite(each.cosine) for each in done.diagnoses)


@pytest.mark.parametrize("rule", ["fedavg", "fednova", "fedadam", "krum", "median", "norm_clipping"])
@pytest.mark.parametrize("count", [0, -1, math.nan, math.inf, 1.5, True, None, 10**9])
def test_a_count_that_is_none_or_above_the_bound_is_refused_by_every_rule(rule: str, count: Any) -> None:
    with Round(draw(0, 5), counts=[1, 1, count, 1, 1]) as small, pytest.raises(Refused) as caught:
        small.run(rule)
    assert caught.value.code is ErrorCode.BAD_COUNT


@pytest.mark.parametrize("rule", ["fedavg", "fedprox", "fedavgm", "norm_clipping", "median", "krum"])
def test_a_lying_count_weighs_no_more_than_the_cap(rule: str) -> None:
    honest, attack = np.zeros((9, 2)), np.ones((1, 2))
    rows = np.vstack([honest, attack])
    weighting = "uniform" if rule in ("krum", "median") else "capped"
    truth, lie = (direction(rule, rows, counts=[100] * 9 + [count], weighting=weighting) for count in (100, 1_000_000))
    assert lie.tolist() == truth.tolist()
    assert lie[0] <= 0.1 + 1e-12


@pytest.mark.parametrize("rule", ["fedavg", "fedadam", *ROBUST])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_never_reaches_the_model(rule: str, value: float) -> None:
    rows = draw(0, 9)
    rows[2, 1] = value
    with Round(rows, dtype=torch.float32) as small, pytest.raises(Refused) as caught:
        small.run(rule)
    assert caught.value.code is ErrorCode.BAD_UPDATE


def test_a_file_cut_short_while_it_is_read_is_refused() -> None:
    with Round(draw(0, 4, 50_000), dtype=torch.float32) as small:
        paths = [each.path for each in small.contributions]
        blocks = FileUpdates(paths, read_layout(small.base)).blocks(np.float64)
        assert len(list(itertools.islice(blocks, 2))) == 2
        os.truncate(paths[2], 1000)
        with pytest.raises(Refused, match="002 ends before its tensors do") as caught:
            list(blocks)
    assert caught.value.code is ErrorCode.BAD_UPDATE


@pytest.mark.parametrize("rule", ["fedavg", "krum", "median"])
def test_a_file_cut_short_before_it_is_read_is_refused(rule: str) -> None:
    with Round(draw(0, 5, 5000), dtype=torch.float32) as small:
        os.truncate(small.contributions[2].path, 1000)
        with pytest.raises(Refused, match="bytes of values where its header describes") as caught:
            small.run(rule)
    assert caught.value.code is ErrorCode.BAD_UPDATE


def _child(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


_START = """
import os, re, resource, sys
from pathlib import Path
import torch
from federation.aggregation.contributions import Contribution
from federation.aggregation.rules import aggregate
from federation.spec import AggregationSpec
from federation.weights import pack_update, to_bytes
torch.set_num_threads(1)
folder = Path(sys.argv[1])
values = int(sys.argv[2])
(folder / "base").write_bytes(to_bytes({"w": torch.zeros(values)}))
generator = torch.Generator().manual_seed(0)

def run(count, rule, mixing="none"):
    updates = [Contribution(f"n{i:04d}", "u", folder / f"{i:04d}", 1, 1) for i in range(count)]
    return aggregate(AggregationSpec(rule=rule, mixing=mixing), folder / "base", updates, clients=10_000)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory as Linux tells it")
@pytest.mark.parametrize(
    ("rule", "mixing"), [("krum", "none"), ("median", "none"), ("trimmed_mean", "nnm"), ("scaffold", "none")]
)
def test_memory_is_flat_in_the_number_of_updates(tmp_path: Path, rule: str, mixing: str) -> None:
    script = """
for i in range(8):
    drawn = torch.randn(values, generator=generator)
    aux = {"w": drawn} if sys.argv[3] == "scaffold" else None
    (folder / f"{i:04d}").write_bytes(pack_update({"w": drawn}, aux))
for i in range(8, 64):
    os.link(folder / f"{i % 8:04d}", folder / f"{i:04d}")

def peak(count):
    run(count, sys.argv[3], sys.argv[4])
    return int(re.search("VmHWM:\\\\s+(\\\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

few = peak(8)
print(peak(64) - few)
"""
    grown = int(_child(_START + script, tmp_path, 1_000_000, rule, mixing))
    assert grown < 4_000_000 + (32 << 20)  # a model and a block; 56 more updates are 224 MB


def test_two_thousand_updates_need_no_more_than_256_open_files(tmp_path: Path) -> None:
    script = """
for i in range(2000):
    drawn = torch.randn(values, generator=generator)
    (folder / f"{i:04d}").write_bytes(pack_update({"w": drawn}))
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
for rule in sys.argv[3:]:
    assert len(run(2000, rule).diagnoses) == 2000
print("done")
"""
    rules = ("fedavg", "multi_krum", "median")
    assert _child(_START + script, tmp_path, 20, *rules) == "done\n"
