from __future__ import annotations

import gzip
import io
import os
import struct
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from federation.errors import ErrorCode, Refused
from resources.datasets import catalogue, digits
from resources.datasets.card import Pixels
from resources.datasets.idx import IdxImages, read_idx

needs_data = pytest.mark.skipif(
    "POTLUCK_DATA" not in os.environ, reason="POTLUCK_DATA names no folder with MNIST and CIFAR-10"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def encoded(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def write_mnist(folder: Path, images: np.ndarray[Any, Any], labels: list[int], split: str = "test") -> Path:
    file = folder / f"hub/ylecun/mnist/mnist/{split}-00000-of-00001.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": encoded(image), "path": None} for image in images]
    pq.write_table(pa.table({"image": cells, "label": labels}), file)
    return file


IMAGES = np.random.RandomState(0).randint(0, 256, (5, 28, 28)).astype(np.uint8)


def test_digits_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    expected = np.column_stack([bunch.data, bunch.target])
    assert np.array_equal(digits._table(), expected)
    monkeypatch.setattr(digits, "find_spec", lambda name: ModuleSpec(name, None, origin="/elsewhere/__init__.py"))
    assert np.array_equal(digits._table(), expected)


def test_digits_are_split_once_and_for_all() -> None:
    train, test = catalogue.load("digits", "train"), catalogue.load("digits", "test")
    assert train.x.shape == (1437, 1, 8, 8)
    assert test.x.shape == (360, 1, 8, 8)
    assert (train.x.dtype, train.y.dtype) == (torch.float32, torch.int64)
    assert (train.x.min().item(), train.x.max().item()) == (0.0, 1.0)
    assert test.y[:8].tolist() == [1, 3, 4, 5, 8, 5, 5, 0]
    assert min(train.y.bincount().tolist()) >= 130
    assert min(test.y.bincount().tolist()) >= 25


def test_a_caller_cannot_change_the_examples_of_the_next() -> None:
    catalogue.load("digits", "test").x.zero_()
    catalogue.load("digits", "test").y.zero_()
    catalogue.labels("digits", "test").fill(0)
    again = catalogue.load("digits", "test")
    assert again.x.sum() > 0
    assert again.y.sum() > 0


def test_a_share_is_loaded_alone_and_in_its_order() -> None:
    whole, indices = catalogue.load("digits", "train"), np.array([700, 3, 1000])
    share = catalogue.load("digits", "train", indices=indices)
    assert torch.equal(share.x, whole.x[indices])
    assert torch.equal(share.y, whole.y[indices])


@pytest.mark.parametrize(
    "id", ["digits", pytest.param("mnist", marks=needs_data), pytest.param("cifar10", marks=needs_data)]
)
def test_labels_come_without_the_images(id: str) -> None:
    card = catalogue.card(id)
    labels = catalogue.labels(id, "train")
    assert labels.dtype == np.int64
    assert len(labels) == card.num_train
    assert set(labels.tolist()) == set(range(card.num_classes))


@needs_data
@pytest.mark.parametrize("id", ["mnist", "cifar10"])
def test_real_test_sets_are_as_their_cards_say(id: str) -> None:
    card, examples = catalogue.card(id), catalogue.load(id, "test")
    assert examples.x.shape == (card.num_test, *card.input_shape)
    assert (examples.x.min().item(), examples.x.max().item()) == (0.0, 1.0)
    mean = {"mnist": [0.1325], "cifar10": [0.494, 0.485, 0.450]}[id]
    assert examples.x.mean(dim=(0, 2, 3)).tolist() == pytest.approx(mean, abs=0.002)


def test_a_parquet_file_in_the_hub_layout_is_decoded_exactly(tmp_path: Path, cache: Path) -> None:
    write_mnist(tmp_path, IMAGES, [3, 1, 4, 1, 5])
    examples = catalogue.load("mnist", "test", folder=tmp_path)
    assert torch.equal(examples.x, torch.from_numpy(IMAGES).float()[:, None] / 255)
    assert examples.y.tolist() == [3, 1, 4, 1, 5]


def test_images_are_decoded_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path, IMAGES, [0] * 5)
    first = catalogue.load("mnist", "test", folder=tmp_path)
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("decoded a second time"))
    assert torch.equal(catalogue.load("mnist", "test", folder=tmp_path).x, first.x)
    assert [file.suffix for file in (cache / "datasets").iterdir()] == [".npz"]


def test_a_replaced_file_is_decoded_anew(tmp_path: Path, cache: Path) -> None:
    write_mnist(tmp_path, IMAGES, [0] * 5)
    catalogue.load("mnist", "test", folder=tmp_path)
    write_mnist(tmp_path, IMAGES[:3], [1, 2, 3])
    assert catalogue.load("mnist", "test", folder=tmp_path).y.tolist() == [1, 2, 3]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not really"])
def test_a_damaged_cache_entry_is_made_anew(tmp_path: Path, cache: Path, damage: bytes) -> None:
    write_mnist(tmp_path, IMAGES, [0] * 5)
    first = catalogue.load("mnist", "test", folder=tmp_path)
    (entry,) = (cache / "datasets").iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert torch.equal(catalogue.load("mnist", "test", folder=tmp_path).x, first.x)
    assert entry.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("POTLUCK_CACHE", str(tmp_path / "file"))
    write_mnist(tmp_path, IMAGES, [0] * 5)
    assert len(catalogue.load("mnist", "test", folder=tmp_path)) == 5


def test_an_interrupted_write_leaves_no_entry(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    write_mnist(tmp_path, IMAGES, [0] * 5)
    with pytest.raises(KeyboardInterrupt):
        catalogue.load("mnist", "test", folder=tmp_path)
    assert list((cache / "datasets").iterdir()) == []


def test_a_truncated_parquet_file_is_refused(tmp_path: Path, cache: Path) -> None:
    file = write_mnist(tmp_path, IMAGES, [0] * 5)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(Refused, match="cannot be read") as caught:
        catalogue.load("mnist", "test", folder=tmp_path)
    assert caught.value.code is ErrorCode.DATA_UNAVAILABLE


def test_an_image_of_another_size_is_refused_by_row(tmp_path: Path, cache: Path) -> None:
    write_mnist(tmp_path, IMAGES[:, :20, :20], [0] * 5)
    with pytest.raises(Refused, match="row 0 is no image of 28x28: it measures 20x20"):
        catalogue.load("mnist", "test", folder=tmp_path)


def test_data_out_of_reach_is_refused_with_the_place_to_put_it(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Refused, match=r"POTLUCK_DATA.*hub/uoft-cs/cifar10/plain_text/train-00000") as caught:
        catalogue.load("cifar10", "train", folder=tmp_path)
    assert caught.value.code is ErrorCode.DATA_UNAVAILABLE


def test_an_unknown_data_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Refused, match="digits, mnist, fashion_mnist, cifar10, shakespeare") as caught:
        catalogue.load("imagenet", "train")
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_texts_are_no_images_and_images_no_texts() -> None:
    for asked in (catalogue.image_card, lambda id: catalogue.load(id, "test"), lambda id: catalogue.labels(id, "test")):
        with pytest.raises(Refused, match=r"data\.id: shakespeare holds texts, .* takes numbers.*hf:") as caught:
            asked("shakespeare")
        assert caught.value.code is ErrorCode.INVALID_SPEC
    for asked in (catalogue.text_card, lambda id: catalogue.texts(id, "test")):
        with pytest.raises(Refused, match=r"data\.id: digits holds images, .* takes texts.*shakespeare") as caught:
            asked("digits")
        assert caught.value.code is ErrorCode.INVALID_SPEC


def test_every_data_set_has_a_card_that_says_what_it_holds() -> None:
    assert {card.id: card.holds for card in catalogue.datasets()} == {
        "digits": "images", "mnist": "images", "fashion_mnist": "images", "cifar10": "images", "shakespeare": "texts",
    }  # fmt: skip
    for card in catalogue.datasets():
        assert catalogue.card(card.id) is card


def write_idx(file: Path, array: np.ndarray[Any, Any]) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def idx(tmp_path: Path) -> IdxImages:
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", IMAGES)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", np.arange(5, dtype=np.uint8))
    return IdxImages(catalogue.FASHION_MNIST, tmp_path)


def test_fashion_mnist_comes_from_debians_files_where_they_are(
    idx: IdxImages, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "DEBIAN_FASHION_MNIST", idx.folder)
    for _ in range(2):  # decoded, then cached
        examples = catalogue.load("fashion_mnist", "test")
        assert torch.equal(examples.x, torch.from_numpy(IMAGES).float()[:, None] / 255)
        assert examples.y.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (bytes([0, 0, 9, 1]) + struct.pack(">I", 2) + b"ab", "no IDX file"),
        (bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + b"ab", "states 3 values"),
        (bytes([0, 0, 8, 1]) + struct.pack(">I", 1) + b"ab", "states 1 values"),
        (b"\0\0", "no IDX file"),
    ],
)
def test_an_idx_file_that_is_not_one_is_an_error(tmp_path: Path, body: bytes, problem: str) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(body))
    with pytest.raises(ValueError, match=problem):
        read_idx(tmp_path / "x.gz", 1)


def test_pixels_scale_by_their_own_white() -> None:
    pixels = Pixels(np.full((1, 1, 1, 1), 8, dtype=np.uint8), np.zeros(1, dtype=np.int64), white=16)
    assert pixels.examples().x.item() == 0.5
