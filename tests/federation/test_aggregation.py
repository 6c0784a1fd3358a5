from __future__ import annotations

import math
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from federation.aggregation import fedavg
from federation.aggregation.contributions import Contribution
from federation.aggregation.fold import fold
from federation.aggregation.rules import aggregate
from federation.errors import ErrorCode, Refused
from federation.spec import AggregationSpec
from federation.weights import Tensors, pack_update, to_bytes


def model(path: Path, **tensors: torch.Tensor) -> Path:
    path.write_bytes(to_bytes(tensors))
    return path


def update(path: Path, **tensors: torch.Tensor) -> Path:
    path.write_bytes(pack_update(tensors))
    return path


def draw(seed: int, scale: float = 1e-2, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"conv.weight": (7, 3, 3), "fc.weight": (33, 17), "fc.bias": (33,), "gain": ()}
    return {name: (scale * torch.randn(shape, generator=generator)).to(dtype) for name, shape in shapes.items()}


# The weights of FedAvg


def test_fedavg_weighs_by_examples() -> None:
    assert fedavg.weights([1, 3]) == [0.25, 0.75]
    assert fedavg.weights([5]) == [1.0]
    assert fedavg.weights([1, 3], uniform=True) == [0.5, 0.5]


def test_fedavg_weights_are_the_nearest_floats_to_the_shares() -> None:
    counts = [1, 600, 10**18 + 1, 7, 10**30]
    weights = fedavg.weights(counts)
    assert weights == [float(Fraction(count, sum(counts))) for count in counts]
    assert math.fsum(weights) == pytest.approx(1, abs=1e-15)


def test_fedavg_without_updates_is_refused() -> None:
    with pytest.raises(Refused, match="no updates") as caught:
        fedavg.weights([])
    assert caught.value.code is ErrorCode.QUORUM_MISSED


@pytest.mark.parametrize("count", [0, -1, 1.5, math.nan, math.inf, True, "7", None])
@pytest.mark.parametrize("uniform", [False, True])
def test_a_count_that_is_no_positive_whole_number_is_refused(count: int, uniform: bool) -> None:
    with pytest.raises(Refused) as caught:
        fedavg.weights([10, count], uniform=uniform)
    assert caught.value.code is ErrorCode.BAD_COUNT


# The fold


def test_fold_adds_the_weighted_deltas_to_the_base(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.tensor([1.0, 2.0]), b=torch.tensor(0.0))
    one = update(tmp_path / "1", w=torch.tensor([4.0, 0.0]), b=torch.tensor(8.0))
    two = update(tmp_path / "2", w=torch.tensor([0.0, -4.0]), b=torch.tensor(-8.0))
    folded = fold(base, [one, two], [0.25, 0.75])
    assert folded["w"].tolist() == [2.0, -1.0]
    assert folded["b"].item() == -4.0
    assert fold(base, [], [])["w"].tolist() == [1.0, 2.0]


def test_fold_leaves_its_files_alone(tmp_path: Path) -> None:
    base, one = model(tmp_path / "base", w=torch.ones(4)), update(tmp_path / "1", w=torch.ones(4))
    before = base.read_bytes(), one.read_bytes()
    fold(base, [one], [1.0])["w"].fill_(7.0)
    assert (base.read_bytes(), one.read_bytes()) == before


def test_equal_updates_average_to_themselves(tmp_path: Path) -> None:
    base = model(tmp_path / "base", **draw(0))
    paths = [update(tmp_path / str(i), **draw(1)) for i in range(4)]
    folded = fold(base, paths, fedavg.weights([8] * 4))
    assert all(torch.equal(folded[name], draw(0)[name] + draw(1)[name]) for name in folded)


def test_the_fold_is_close_to_the_exact_sum(tmp_path: Path) -> None:
    dice = random.Random(0)
    counts = [dice.randint(1, 1000) for _ in range(30)]
    base = model(tmp_path / "base", **draw(0))
    paths = [update(tmp_path / str(i), **draw(i + 1)) for i in range(30)]
    folded = fold(base, paths, fedavg.weights(counts))
    for name, tensor in folded.items():
        exact = draw(0)[name].double()
        for i, count in enumerate(counts):
            exact += draw(i + 1)[name].double() * count / sum(counts)
        assert torch.allclose(tensor.double(), exact, rtol=0, atol=5e-9)  # values up to 0.04, ulp 4e-9


def test_zero_updates_leave_the_base_bit_for_bit(tmp_path: Path) -> None:
    base = model(tmp_path / "base", **draw(0))
    nothing = update(tmp_path / "0", **{name: torch.zeros_like(tensor) for name, tensor in draw(0).items()})
    folded = fold(base, [nothing] * 3, fedavg.weights([1, 2, 3]))
    assert to_bytes(folded) == base.read_bytes()


def test_denormal_updates_are_summed_not_flushed(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.zeros(20))
    one = update(tmp_path / "1", w=torch.full((20,), 1e-40))
    assert torch.equal(fold(base, [one, one], [0.5, 0.5])["w"], torch.full((20,), 1e-40))


def test_many_small_updates_do_not_drown_in_a_large_weight(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.full((3,), 1024.0))
    small = update(tmp_path / "1", w=torch.full((3,), 2.0**-10))
    folded = fold(base, [small] * 256, [2.0**-4] * 256)
    assert folded["w"].tolist() == [1024.0 + 2.0**-6] * 3  # each step alone is below half an ulp of 1024


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_are_summed_in_float32_and_rounded_once(tmp_path: Path, dtype: torch.dtype) -> None:
    base = model(tmp_path / "base", w=torch.full((5,), 1.0, dtype=dtype))
    small = update(tmp_path / "1", w=torch.full((5,), 2.0**-9, dtype=dtype))
    folded = fold(base, [small] * 64, [1.0] * 64)
    assert folded["w"].dtype is dtype
    assert folded["w"].tolist() == [1.125] * 5  # in bfloat16 every single step would round back to 1


def test_float64_models_keep_their_precision(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.ones(2, dtype=torch.float64))
    tiny = update(tmp_path / "1", w=torch.full((2,), 1e-12, dtype=torch.float64))
    assert fold(base, [tiny], [1.0])["w"].tolist() == [1.0 + 1e-12] * 2


def test_empty_tensors_fold_to_empty_tensors(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.zeros(0, 3), v=torch.ones(1))
    assert fold(base, [update(tmp_path / "1", w=torch.zeros(0, 3), v=torch.ones(1))], [1.0])["w"].shape == (0, 3)


def test_a_shape_that_would_broadcast_is_refused(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.zeros(2, 3))
    with pytest.raises(Refused, match=r"F32 \[3\], where the model's is F32 \[2, 3\]"):
        fold(base, [update(tmp_path / "1", w=torch.ones(3))], [1.0])


def test_a_result_that_is_not_finite_is_refused_by_name(tmp_path: Path) -> None:
    for dtype, large in ((torch.float16, 4e4), (torch.float32, 3e38)):
        base = model(tmp_path / "base", fine=torch.zeros(1), w=torch.full((2,), large, dtype=dtype))
        path = update(tmp_path / "1", fine=torch.zeros(1), w=torch.full((2,), large, dtype=dtype))
        with pytest.raises(Refused, match="'w' is not finite") as caught:
            fold(base, [path], [1.0])
        assert caught.value.code is ErrorCode.BAD_UPDATE


def test_an_update_with_nan_never_reaches_the_model(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.zeros(3))
    with pytest.raises(Refused, match="not finite"):
        fold(base, [update(tmp_path / "1", w=torch.tensor([0.0, math.nan, 0.0]))], [0.0])


def test_a_model_of_integers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="'steps' is I64"):
        fold(model(tmp_path / "base", steps=torch.zeros(1, dtype=torch.int64)), [], [])


@pytest.mark.parametrize("weights", [[1.0], [1.0, math.nan], [math.inf, 0.0], [1.0, 0.0, 0.0]])
def test_weights_that_are_not_finite_or_not_one_each_are_an_error(tmp_path: Path, weights: list[float]) -> None:
    base, one = model(tmp_path / "base", w=torch.zeros(1)), update(tmp_path / "1", w=torch.ones(1))
    with pytest.raises(ValueError, match=r"finite|zip"):
        fold(base, [one, one], weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bits_do_not_depend_on_the_number_of_threads(tmp_path: Path, dtype: torch.dtype) -> None:
    def large(seed: int) -> torch.Tensor:
        return torch.randn(300_007, generator=torch.Generator().manual_seed(seed)).to(dtype)

    base = model(tmp_path / "base", w=large(0))
    paths = [update(tmp_path / str(i), w=large(i)) for i in range(1, 6)]
    weights = fedavg.weights([3, 1, 4, 1, 5])
    single = fold(base, paths, weights)
    torch.set_num_threads(2)
    try:
        double = fold(base, paths, weights)
    finally:
        torch.set_num_threads(1)
    assert to_bytes(single) == to_bytes(double)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory as Linux tells it")
def test_memory_does_not_grow_with_the_number_of_updates(tmp_path: Path) -> None:
    size = 4_000_000  # 16 MB
    model(tmp_path / "base", w=torch.zeros(size))
    update(tmp_path / "update", w=torch.ones(size))
    script = """
import re, shutil, sys
from pathlib import Path
from federation.aggregation.fold import fold

def peak_after(count):
    fold(folder / "base", [folder / str(i) for i in range(count)], [1 / count] * count)
    return int(re.search("VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

folder = Path(sys.argv[1])
for i in range(12):
    shutil.copy(folder / "update", folder / str(i))
few = peak_after(2)
print(peak_after(12) - few)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 16_000_000  # ten more updates are 160 MB


# The rule


def contribution(folder: Path, seed: int, **delta: torch.Tensor) -> Contribution:
    path = update(folder / f"u{seed}", **(delta or draw(seed, 10.0 ** -(seed % 5))))
    return Contribution(f"node-{seed % 7}", f"up-{seed}", path, num_examples=1 + seed * 37 % 101, num_steps=1)


def test_arrival_order_does_not_change_a_bit(tmp_path: Path) -> None:
    base = model(tmp_path / "base", **draw(0))
    arrivals = [contribution(tmp_path, seed) for seed in range(1, 20)]
    spec, seen = AggregationSpec(), set()
    for shuffle in range(10):
        random.Random(shuffle).shuffle(arrivals)
        seen.add(to_bytes(aggregate(spec, base, iter(arrivals)).weights))
    assert len(seen) == 1
    unsorted = [arrival.path for arrival in arrivals]
    counts = [arrival.num_examples for arrival in arrivals]
    assert to_bytes(fold(base, unsorted, fedavg.weights(counts))) not in seen  # so the order did matter


def test_the_average_is_weighted_by_examples_or_uniform(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.zeros(2))
    one = Contribution("node-b", "u", update(tmp_path / "1", w=torch.tensor([4.0, 0.0])), 30, 1)
    two = Contribution("node-a", "u", update(tmp_path / "2", w=torch.tensor([0.0, 4.0])), 10, 1)
    assert aggregate(AggregationSpec(), base, [one, two]).weights["w"].tolist() == [3.0, 1.0]
    assert aggregate(AggregationSpec(weighting="uniform"), base, [one, two]).weights["w"].tolist() == [2.0, 2.0]


def test_one_node_may_contribute_several_uploads_but_none_twice(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.zeros(1))
    path = update(tmp_path / "1", w=torch.ones(1))
    one, two = Contribution("node-a", "u1", path, 1, 1), Contribution("node-a", "u2", path, 1, 1)
    assert aggregate(AggregationSpec(), base, [one, two]).weights["w"].tolist() == [1.0]
    with pytest.raises(ValueError, match="update u1 of node-a is given twice"):
        aggregate(AggregationSpec(), base, [one, two, one])


def test_no_contribution_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no updates"):
        aggregate(AggregationSpec(), model(tmp_path / "base", w=torch.zeros(1)), [])


def test_a_count_above_the_cap_is_refused_with_the_node(tmp_path: Path) -> None:
    base = model(tmp_path / "base", w=torch.zeros(1))
    liar = Contribution("node-a", "u1", update(tmp_path / "1", w=torch.ones(1)), 1001, 1)
    with pytest.raises(Refused, match="node-a claims 1001 examples, above 1000"):
        aggregate(AggregationSpec(max_examples=1000), base, [liar])


def test_a_lying_count_moves_the_model_by_its_capped_weight_at_most(tmp_path: Path) -> None:
    def moved(liar: int) -> Tensors:
        base = model(tmp_path / "base", w=torch.zeros(1))
        honest = [
            Contribution(f"node-{i}", "u", update(tmp_path / f"h{i}", w=torch.zeros(1)), 100, 1) for i in range(9)
        ]
        attack = Contribution("node-x", "u", update(tmp_path / "x", w=torch.ones(1)), liar, 1)
        return aggregate(AggregationSpec(max_examples=100), base, [*honest, attack]).weights

    assert moved(100)["w"].item() == pytest.approx(0.1)
    with pytest.raises(Refused):
        moved(10**9)
