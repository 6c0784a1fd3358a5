from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch

from federation.errors import ErrorCode, Refused
from federation.weights import (
    DELTA,
    Tensors,
    add,
    check_model,
    check_update,
    chunks,
    layout_of,
    load,
    load_bytes,
    pack_update,
    squared_norm,
    subtract,
    to_bytes,
)

MODEL = layout_of({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "scale": torch.tensor(0.0)})


def update(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((2, 3), 0.5), "bias": torch.zeros(2), "scale": torch.tensor(-1.0)} | changes


def stored(path: Path, delta: Tensors) -> Path:
    path.write_bytes(to_bytes({DELTA + name: tensor for name, tensor in delta.items()}))
    return path


def refusal(path: Path, max_norm: float | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        check_update(path, MODEL, max_norm=max_norm)
    assert caught.value.code is ErrorCode.BAD_UPDATE
    return caught.value


def test_tensors_survive_the_way_to_bytes_and_back(tmp_path: Path) -> None:
    tensors = {
        "scalar": torch.tensor(3.25),
        "empty": torch.zeros(0, 4),
        "half": torch.arange(3).half(),
        "brain": torch.arange(5).bfloat16(),
        "double": torch.rand(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        "steps": torch.tensor(7),
        "mask": torch.tensor([True, False, True]),
        "with space / and ünï": torch.ones(1),
    }
    data = to_bytes(tensors)
    (tmp_path / "m").write_bytes(data)
    for back in (load(tmp_path / "m"), load_bytes(data), safetensors.torch.load(data)):
        assert layout_of(back) == layout_of(tensors)
        assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


def test_the_same_tensors_give_the_same_bytes_whatever_their_order_or_strides() -> None:
    a, b = torch.arange(6.0).reshape(2, 3), torch.arange(3.0)
    strided = torch.arange(6.0).reshape(2, 3).t().contiguous().t()
    assert not strided.is_contiguous()
    assert to_bytes({"a": a, "b": b}) == to_bytes({"b": b, "a": strided}) == to_bytes({"b": b, "a": a.requires_grad_()})


def test_a_float32_model_gives_the_bytes_that_the_library_gives() -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.arange(6.0).reshape(2, 3)}
    assert to_bytes(tensors) == safetensors.torch.save(tensors)


def test_tied_tensors_are_written_each() -> None:
    tied = torch.arange(4.0)
    assert set(load_bytes(to_bytes({"embed": tied, "head": tied}))) == {"embed", "head"}


def test_every_tensor_starts_at_a_multiple_of_its_element() -> None:
    tensors = {"a": torch.ones(1, dtype=torch.uint8), "b": torch.ones(1), "c": torch.ones(1, dtype=torch.float64)}
    data = to_bytes(tensors)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert [header[name]["data_offsets"] for name in "abc"] == [[12, 13], [8, 12], [0, 8]]
    assert length % 8 == 0


def test_a_file_is_written_piece_by_piece_without_copying_the_tensors() -> None:
    tensor = torch.zeros(1000)
    _, piece = chunks({"w": tensor})
    tensor.fill_(1.0)
    assert bytes(piece) == to_bytes({"w": torch.ones(1000)})[-4000:]


def test_writing_to_a_loaded_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    path = stored(tmp_path / "u", update())
    before = path.read_bytes()
    load(path)[DELTA + "weight"].fill_(9.0)
    assert path.read_bytes() == before


def test_unaligned_values_are_read(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'
    header += b" " * ((5 - len(header)) % 8)
    values = torch.tensor([1.0, 2.0, 3.0])
    (tmp_path / "m").write_bytes(len(header).to_bytes(8, "little") + header + values.numpy().tobytes())
    assert torch.equal(load(tmp_path / "m")["w"], values)
    assert squared_norm(load(tmp_path / "m")["w"]) == 14.0


@pytest.mark.parametrize("size", [0, 4, 60, -1])
def test_a_truncated_file_is_refused_by_both_readers(tmp_path: Path, size: int) -> None:
    data = to_bytes(update())[:size]
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(Refused):
        load(tmp_path / "m")
    with pytest.raises(Refused):
        load_bytes(data)


def test_what_only_the_library_refuses_is_a_refusal_too(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}'
    data = len(header).to_bytes(8, "little") + header
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(Refused, match="cannot be read"):
        load(tmp_path / "m")
    with pytest.raises(Refused, match="cannot be read"):
        load_bytes(data)


def test_an_update_is_new_minus_base_and_adding_it_leads_back() -> None:
    base, new = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([1.5, -2.0], requires_grad=True)}
    delta = subtract(new, base)
    assert delta["w"].tolist() == [0.5, -4.0]
    assert not delta["w"].requires_grad
    assert add(base, delta)["w"].tolist() == [1.5, -2.0]
    assert base["w"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_an_update_has_the_dtype_of_the_model(dtype: torch.dtype) -> None:
    base = {"w": torch.ones(2, dtype=dtype)}
    delta = subtract({"w": torch.full((2,), 1.5, dtype=dtype)}, base)
    assert delta["w"].dtype is dtype
    assert add(base, delta)["w"].tolist() == [1.5, 1.5]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({}, "'w' is missing"),
        ({"w": torch.zeros(1)}, r"'w' is F32 \[1\], where the model's is F32 \[2\]"),
        ({"w": torch.zeros(2).half()}, r"'w' is F16 \[2\]"),
        ({"w": torch.zeros(2), "v": torch.zeros(1)}, "'v' is none of the model's"),
    ],
)
def test_arithmetic_between_different_layouts_is_refused(other: Tensors, reason: str) -> None:
    base = {"w": torch.zeros(2)}
    with pytest.raises(Refused, match=reason):
        subtract(other, base)
    with pytest.raises(Refused, match=reason):
        add(base, other)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_tensors_without_an_average_are_refused_by_name(dtype: torch.dtype) -> None:
    counter = {"w": torch.zeros(1), "batches": torch.zeros(2, dtype=dtype)}
    for refused in (
        lambda: subtract(counter, counter),
        lambda: add(counter, counter),
        lambda: pack_update(counter),
        lambda: check_model(layout_of(counter)),
    ):
        with pytest.raises(Refused, match=r"'batches' is .* no average") as caught:
            refused()
        assert "BF16, F16, F32, F64" in caught.value.mend


def test_a_model_without_tensors_is_refused() -> None:
    with pytest.raises(Refused, match="no tensor to train"):
        check_model({})


def test_a_good_update_gives_its_norm(tmp_path: Path) -> None:
    path = stored(tmp_path / "u", update())
    assert path.read_bytes() == pack_update(update())
    assert check_update(path, MODEL, max_norm=None) == math.sqrt(6 * 0.25 + 1)
    assert check_update(path, MODEL, max_norm=math.sqrt(2.5)) == math.sqrt(2.5)


def test_a_zero_update_has_norm_zero(tmp_path: Path) -> None:
    path = stored(tmp_path / "u", {name: torch.zeros(info.shape) for name, info in MODEL.items()})
    assert check_update(path, MODEL, max_norm=1e-30) == 0.0


def test_denormal_values_count_towards_the_norm(tmp_path: Path) -> None:
    path = stored(tmp_path / "u", update(weight=torch.full((2, 3), 1e-40), scale=torch.tensor(0.0)))
    assert check_update(path, MODEL, max_norm=None) == pytest.approx(math.sqrt(6) * 1e-40, rel=1e-4)


def test_the_largest_float32_values_are_finite_and_have_a_norm(tmp_path: Path) -> None:
    largest = torch.finfo(torch.float32).max
    path = stored(tmp_path / "u", update(weight=torch.full((2, 3), largest)))
    assert check_update(path, MODEL, max_norm=None) == pytest.approx(math.sqrt(6) * largest)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_one_value_that_is_not_finite_is_refused_by_name(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    weight = torch.zeros(200_003, dtype=dtype)
    weight[200_001] = value
    path = stored(tmp_path / "u", {"weight": weight})
    with pytest.raises(Refused, match="'delta/weight' holds NaN or infinite") as caught:
        check_update(path, layout_of({"weight": weight}), max_norm=None)
    assert "learning rate" in caught.value.mend


def test_float64_values_whose_squares_overflow_are_refused(tmp_path: Path) -> None:
    weight = torch.full((2,), 1e200, dtype=torch.float64)
    with pytest.raises(Refused, match="too large to square"):
        check_update(stored(tmp_path / "u", {"w": weight}), layout_of({"w": weight}), max_norm=None)


def test_a_norm_above_the_bound_is_refused_with_the_scale_that_mends_it(tmp_path: Path) -> None:
    refused = refusal(stored(tmp_path / "u", update(weight=torch.full((2, 3), 4.0))), max_norm=1.0)
    assert "L2 norm 9.84886 exceeds the task's bound 1" in refused.problem
    assert "scale the whole update by 0.101535" in refused.mend


def test_a_bound_that_is_nan_lets_nothing_through(tmp_path: Path) -> None:
    refusal(stored(tmp_path / "u", update()), max_norm=math.nan)


def test_names_shapes_and_dtypes_are_those_of_the_model(tmp_path: Path) -> None:
    missing = update()
    del missing["bias"]
    for delta, reason in (
        (missing, "'delta/bias' is missing"),
        (update(extra=torch.zeros(1)), "'delta/extra' is none of the model's"),
        (update(bias=torch.zeros(1)), "'delta/bias' is F32 [1], where the model's is F32 [2]"),
        (update(bias=torch.zeros(1, 2)), "'delta/bias' is F32 [1, 2], where the model's is F32 [2]"),
        (update(bias=torch.zeros(2).half()), "'delta/bias' is F16 [2], where the model's is F32 [2]"),
        (update(scale=torch.zeros(1)), "'delta/scale' is F32 [1], where the model's is F32 []"),
    ):
        refused = refusal(stored(tmp_path / "u", delta))
        assert reason in refused.problem
        assert "delta/<name>" in refused.mend


def test_names_without_the_prefix_are_refused_with_the_prefix_in_the_mend(tmp_path: Path) -> None:
    (tmp_path / "u").write_bytes(to_bytes(update()))
    assert "named delta/<name>" in refusal(tmp_path / "u").mend


def test_an_update_for_a_model_of_integers_is_refused(tmp_path: Path) -> None:
    counts = {"steps": torch.zeros(1, dtype=torch.int64)}
    with pytest.raises(Refused, match="'steps' is I64"):
        check_update(stored(tmp_path / "u", counts), layout_of(counts), max_norm=None)


def test_a_header_far_longer_than_the_model_needs_is_refused_unread(tmp_path: Path) -> None:
    text = b'{"__metadata__":{"a":"' + b"x" * 100_000 + b'"}}'
    (tmp_path / "u").write_bytes(len(text).to_bytes(8, "little") + text)
    assert "are allowed here" in refusal(tmp_path / "u").problem


def test_the_norm_is_exact_where_float32_sums_are_not() -> None:
    tensor = torch.full((3_000_000,), 0.1)
    exact = 3_000_000 * float(tensor[0]) ** 2
    assert squared_norm(tensor) == pytest.approx(exact, rel=1e-12)
    assert squared_norm(torch.zeros(0)) == 0.0
