"""Small files of the Hub that are large in memory, and images that would have other programs started."""

from __future__ import annotations

import io
import stat
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from federation.errors import Refused
from federation.spec import TaskSpec
from resources.datasets import named
from resources.datasets.hub.lengths import lengths
from resources.datasets.hub.pages import pages, row_groups
from resources.datasets.hub.reading import batches, check_size
from resources.datasets.own import load_own
from tests.resources.hub.parquet_files import laid_out, parquet, png, task, writer

MANY, LONG = 600, 4 << 20
MOST = 400 << 20
"""Bytes that reading may take: a sixth of what the cells are."""
ALONE: dict[str, Any] = {"evaluation": {"server": False}}

_pools: list[pa.MemoryPool] = []
"""Kept, as long as anything might be that was taken from them."""


@contextmanager
def within(most: int) -> Iterator[None]:
    """Arrow's and Python's memory together at its highest."""
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
    _pools.append(pool)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        yield
        assert (pool.max_memory() or 0) + tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def repeated(value: str | bytes, count: int = MANY) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


def stored(columns: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def refused(folder: Path, columns: dict[str, Any], spec: TaskSpec) -> str:
    file = stored(columns)
    assert len(file) < 1 << 20
    with within(MOST), pytest.raises(Refused) as caught:
        named.settle(spec, folder=laid_out(folder, {"train.parquet": file}))
    return str(caught.value)


TEXT = "a" * LONG


@pytest.mark.parametrize(
    ("columns", "spec", "said"),
    [
        ({"text": repeated(TEXT)}, writer(), "holds more than 64 MiB"),
        ({"text": repeated("a" * (65 << 20))}, writer(), "row 0 has 65 MiB, more than the 64 of one"),
        ({"a": [1.0] * MANY, "label": repeated(TEXT)}, task(), "no names of classes"),
        (
            {"a": [1.0] * MANY, "label": [0, 1] * (MANY // 2), "who": repeated(TEXT)},
            task({"columns": {"user": "who"}}),
            "no users",
        ),
        (
            {
                "messages": pa.ListArray.from_arrays(
                    range(MANY + 1),
                    pa.StructArray.from_arrays([repeated("assistant"), repeated(TEXT)], ["role", "content"]),
                )
            },
            writer(),
            "holds more than 64 MiB",
        ),
    ],
    ids=["texts", "one cell", "labels", "users", "conversations"],
)
def test_a_value_that_is_stored_once_and_repeated_is_counted_before_it_is_copied(
    tmp_path: Path, columns: dict[str, Any], spec: TaskSpec, said: str
) -> None:
    assert said in refused(tmp_path, columns, spec)


def test_an_image_that_is_stored_once_and_repeated_is_never_held_more_than_a_few_times(tmp_path: Path) -> None:
    cells = pa.StructArray.from_arrays([repeated(png(7)["bytes"] + bytes(LONG))], ["bytes"])
    file = stored({"image": cells, "label": [0, 1] * (MANY // 2)})
    with within(MOST):
        spec = named.settle(task(**ALONE), folder=laid_out(tmp_path, {"train.parquet": file}))
    assert spec.data.pin is not None
    assert spec.data.pin.num_train == MANY


def test_rows_that_a_few_bytes_repeat_are_refused_by_what_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ones = {"a": np.ones(3_000_000, np.float32), "label": np.zeros(3_000_000, np.int8)}
    monkeypatch.setattr("resources.datasets.hub.reading.MOST_GROUP", 1 << 20)
    assert "of them at once" in refused(tmp_path, ones, task())
    monkeypatch.undo()
    monkeypatch.setattr("resources.datasets.hub.reading.MOST_ROWS", 1 << 20)
    assert "has 3,000,000 rows, more than the 1,048,576" in refused(tmp_path / "other", ones, task())


def varint(value: int, length: int) -> bytes:
    """A number as a footer has it, in so many bytes."""
    value <<= 1
    return bytes(value >> 7 * place & 127 | (128 if place < length - 1 else 0) for place in range(length))


def lying(columns: dict[str, Any], says: int) -> bytes:
    """A file whose footer says that its only column is of so many bytes."""
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd", use_dictionary=False, data_page_size=1 << 30)
    file = out.getvalue()
    size = pq.read_metadata(io.BytesIO(file)).row_group(0).total_byte_size
    changed = file.replace(varint(size, 4), varint(says, 4))
    assert changed != file
    assert pq.read_metadata(io.BytesIO(changed)).row_group(0).column(0).total_uncompressed_size == says
    return changed


def test_a_footer_that_says_less_than_the_pages_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.datasets.hub.reading.MOST_GROUP", 8 << 20)
    folder = laid_out(tmp_path, {"train.parquet": lying({"text": ["a" * (12 << 20)]}, 1000)})
    with within(4 << 20), pytest.raises(Refused, match=r"of them at once") as caught:
        named.settle(writer(), folder=folder)
    assert "the training split unpacks to 0.0 GiB" in caught.value.problem


def test_pages_unpack_to_what_the_footer_of_an_honest_file_says(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{place} " * 40 for place in range(5000)]
    columns = {"text": texts, "n": np.arange(5000), "turns": [texts[:3]] * 5000, "none": [None] * 5000}
    for how in ({}, {"use_dictionary": False}, {"data_page_version": "2.0"}, {"compression": "none"}):
        pq.write_table(pa.table(columns), path, data_page_size=4096, row_group_size=2000, **how)
        meta = pq.read_metadata(path)
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            found = row_groups(data)
            for group, size in zip(map(meta.row_group, range(3)), found, strict=True):
                values = 0
                for chunk in map(group.column, range(group.num_columns)):
                    about = {7: chunk.total_compressed_size, 9: chunk.data_page_offset}
                    about |= {11: chunk.dictionary_page_offset} if chunk.has_dictionary_page else {}
                    of_pages = list(pages(data, about))
                    headers = chunk.total_uncompressed_size - sum(size for size, _ in of_pages)
                    assert 0 < headers < 600 * len(of_pages)
                    assert sum(values for _, values in of_pages[chunk.has_dictionary_page :]) == chunk.num_values
                    values += chunk.num_values
                assert max(group.total_byte_size, 8 * values) <= size <= group.total_byte_size + 16 * values


def test_a_broken_footer_ends_no_process(tmp_path: Path) -> None:
    file, rng = parquet({"text": ["a", "b"], "label": [0, 1]}), np.random.default_rng(0)
    path, length = tmp_path / "a.parquet", int.from_bytes(file[-8:-4], "little")
    refused = 0
    for _ in range(200):
        place = int(rng.integers(len(file) - 8 - length, len(file)))
        path.write_bytes(file[:place] + bytes([int(rng.integers(256))]) + file[place + 1 :])
        try:
            check_size([path], "train")
        except Refused:
            refused += 1
    assert refused > 20


def test_texts_that_are_no_unicode_are_refused(tmp_path: Path) -> None:
    file = parquet({"text": ["good", "evil"]})
    with pytest.raises(Refused, match=r"train\.parquet cannot be read as parquet"):
        named.settle(writer(), folder=laid_out(tmp_path, {"train.parquet": file.replace(b"evil", b"ev\xffl")}))


def test_very_many_pages_are_not_counted_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.datasets.hub.pages._MOST_PAGES", 20)
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"] * 5000}), out, max_rows_per_page=100, use_dictionary=False)
    with pytest.raises(Refused, match="a column has more than 20 pages"):
        named.settle(writer(), folder=laid_out(tmp_path, {"train.parquet": out.getvalue()}))


def test_pages_that_are_none_are_refused(tmp_path: Path) -> None:
    file = parquet({"text": ["a", "b"], "label": [0, 1]})
    for start in range(4, 40, 4):
        broken = file[:start] + b"\xff" * 24 + file[start + 24 :]
        with pytest.raises(Refused, match=r"train.parquet cannot be read as parquet|unpacks to"):
            named.settle(writer(), folder=laid_out(tmp_path, {"train.parquet": broken}))


def test_a_cells_length_counts_every_repetition() -> None:
    words = pa.array(["ab", None, "abcd", "ab"])
    alike = words.dictionary_encode()
    assert lengths(words).tolist() == [10, 8, 12, 10]
    assert lengths(alike).tolist() == [10, 0, 12, 10]
    assert lengths(alike.slice(2)).tolist() == [12, 10]
    turns = pa.ListArray.from_arrays([0, 1, 1, 4], alike)
    assert lengths(turns).tolist() == [8 + 128 + 10, 8, 8 + 3 * 128 + 22]
    assert lengths(turns.slice(2)).tolist() == [8 + 3 * 128 + 22]
    assert lengths(pa.StructArray.from_arrays([alike, pa.array([1, 2, 3, 4])], ["a", "b"])).tolist() == [26, 16, 28, 26]
    with pytest.raises(pa.ArrowInvalid, match="are not read"):
        lengths(pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())))


def test_rows_come_in_parts_that_are_never_too_large_and_leave_none_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.datasets.hub.reading.MOST_BATCH", 100)
    texts = ["a" * length for length in (1, 90, 3, 4, 70, 2, 80, 1)]
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        path.write_bytes(parquet({"text": texts}))
    found = [(at, batch.column("text").to_pylist()) for at, batch in batches(paths, ["text"])]
    assert [text for _, part in found for text in part] == texts * 2
    assert [at for at, _ in found] == np.cumsum([0, *(len(part) for _, part in found)])[:-1].tolist()
    assert max(sum(len(text) + 8 for text in part) for _, part in found) <= 100


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a Ghostscript that is found first on the path would leave its mark."""
    mark, program = tmp_path / "mark", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    return mark


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"


def test_postscript_in_a_data_set_starts_no_program(tmp_path: Path, started: Path) -> None:
    files = {"train.parquet": parquet({"image": [{"bytes": EPS, "path": None}] * 2, "label": [0, 1]})}
    with pytest.raises(Refused, match="row 0 of the training split is no image"):
        named.load(named.settle(task(**ALONE), folder=laid_out(tmp_path, files)), "train", folder=tmp_path)
    assert not started.exists()


def test_postscript_among_a_nodes_own_images_starts_no_program(tmp_path: Path, started: Path) -> None:
    (tmp_path / "own" / "0").mkdir(parents=True)
    (tmp_path / "own" / "0" / "a.png").write_bytes(EPS)
    with pytest.raises(Refused, match=r"a\.png cannot be read as an image: .*PNG, JPEG, WEBP, GIF, BMP, TIFF"):
        load_own(tmp_path / "own", input_shape=(1, 4, 4), num_classes=2)
    assert not started.exists()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_usual_formats_are_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "0").mkdir()
    Image.new("L", (4, 4), 255).save(tmp_path / "0" / "a", kind)
    assert load_own(tmp_path, input_shape=(1, 4, 4), num_classes=2).x.shape == (1, 1, 4, 4)


class Odd(Exception):
    """Nothing that a decoder is known to raise."""


def test_whatever_a_decoder_raises_is_a_refusal_of_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"train.parquet": parquet({"image": [png(1), png(2)], "label": [0, 1]})}
    spec = named.settle(task(**ALONE), folder=laid_out(tmp_path, files))

    def broken(*_: Any) -> Any:
        raise Odd("of its own kind")

    monkeypatch.setattr(Image.Image, "convert", broken)
    with pytest.raises(Refused, match="row 0 of the train split is no image that can be taken: of its own kind"):
        named.load(spec, "train", folder=tmp_path)
    (tmp_path / "own" / "0").mkdir(parents=True)
    (tmp_path / "own" / "0" / "a.png").write_bytes(png(1)["bytes"])
    with pytest.raises(Refused, match=r"a\.png cannot be read as an image: of its own kind"):
        load_own(tmp_path / "own", input_shape=(1, 3, 4), num_classes=2)
