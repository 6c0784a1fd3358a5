"""What becomes of the rows of a data set on the Hub: images, numbers, texts, their labels and their users."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from federation.errors import Refused
from federation.spec import TaskSpec
from resources.datasets import named
from resources.datasets.shares import cut
from resources.datasets.text.rows import Chat, Completion, Labelled, Text
from resources.workload import Workload
from tests.resources.fake_hub import FakeHub
from tests.resources.hub.parquet_files import images, parquet, png, task, writer

ALONE: dict[str, Any] = {"evaluation": {"server": False}}


def holding(hub: FakeHub, train: bytes, test: bytes | None = None, **card: Any) -> None:
    files = {"train.parquet": train} | ({"test.parquet": test} if test is not None else {})
    commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
    hub.revisions, hub.branches, hub.cards = {commit: files}, {"main": commit}, {commit: card} if card else {}


def problem(spec: TaskSpec) -> str:
    (found,) = Workload().check(spec)
    return f"{found.field}: {found.problem}; {found.mend}"


def settled(spec: TaskSpec) -> TaskSpec:
    return named.settle(spec)


def test_grey_images_have_one_channel_and_colour_images_three(hub: FakeHub) -> None:
    for mode, channels in (("L", 1), ("RGB", 3)):
        holding(hub, parquet({"image": [png(10, mode=mode), png(90, mode=mode)], "label": [0, 1]}))
        examples = named.load(settled(task(**ALONE)), "train")
        assert examples.x.shape == (2, channels, 3, 4)
        assert examples.x[0, 0, 0, 0] == pytest.approx(10 / 255)
        assert examples.y.tolist() == [0, 1]


def test_among_colour_images_grey_ones_are_colour_too(hub: FakeHub) -> None:
    holding(hub, parquet({"image": [png(10), png(90, mode="RGB")], "label": [0, 1]}))
    x = named.load(settled(task(**ALONE)), "train").x
    assert x.shape == (2, 3, 3, 4)
    assert torch.equal(x[0, 0], x[0, 2])


def test_images_that_differ_in_size_need_one_and_get_it(hub: FakeHub) -> None:
    holding(hub, parquet({"image": [png(10), png(90, (8, 2))], "label": [0, 1]}))
    assert problem(task(**ALONE)).startswith(
        "data.image_size: the images differ in size: 4x3 and, in row 1, 8x2.; give data.image_size"
    )
    spec = settled(task({"image_size": [2, 2]}, **ALONE))
    assert Workload().schema_for(spec) == ((1, 2, 2), 2)
    x = named.load(spec, "train").x
    assert x.shape == (2, 1, 2, 2)
    assert x[1, 0, 1, 1] == pytest.approx(90 / 255)


def test_an_image_is_cropped_about_its_centre(hub: FakeHub) -> None:
    pixels = np.zeros((2, 6), dtype=np.uint8)
    pixels[:, 2:4] = 200  # black, white, black
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    holding(hub, parquet({"image": [{"bytes": out.getvalue(), "path": None}] * 2, "label": [0, 1]}))
    x = named.load(settled(task({"image_size": [2, 2]}, **ALONE)), "train").x
    assert (x * 255).unique().tolist() == [200]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (None, "row 1 of the training split is no image that can be taken: the cell is empty"),
        ({"bytes": None, "path": "a.png"}, "images that lie beside the file are not fetched"),
        ({"bytes": b"no image", "path": None}, "cannot identify image file"),
    ],
)
def test_a_cell_that_is_no_image_is_named(hub: FakeHub, cell: Any, said: str) -> None:
    holding(hub, parquet({"image": [png(1), cell], "label": [0, 1]}))
    assert said in problem(task(**ALONE))


def test_too_many_pixels_are_refused_by_their_headers(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.datasets.hub.images.MOST_DECODED", 100)
    holding(hub, images(20))
    assert "20 images of [1, 3, 4] are" in problem(task(**ALONE))


def test_images_are_decoded_once_and_then_read_back(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    holding(hub, images(6))
    spec = settled(task(**ALONE))
    first = named.load(spec, "train")
    monkeypatch.setattr("resources.datasets.hub.source.decode", None)  # calling it again would fail
    assert torch.equal(named.load(spec, "train").x, first.x)


def test_numbers_are_scaled_by_the_training_splits_range(hub: FakeHub) -> None:
    train = parquet({"id": [7, 8, 9], "a": [2, 4, 6], "b": [0.5, 0.5, 0.5], "target": ["x", "y", "x"]})
    holding(hub, train, parquet({"id": [1], "a": [8], "b": [0.5], "target": ["y"]}))
    spec = settled(task())
    assert spec.data.pin is not None
    assert spec.data.pin.columns.x == ("a", "b")
    examples = named.load(spec, "train")
    assert examples.x.tolist() == [[0, 0], [0.5, 0], [1, 0]]
    assert examples.y.tolist() == [0, 1, 0]
    assert named.load(spec, "test").x.tolist() == [[1.5, 0]]
    assert Workload().schema_for(spec) == ((2,), 2)


def test_words_and_numbers_that_begin_elsewhere_are_counted_in_their_order(hub: FakeHub) -> None:
    for labels, names in ((["pear", "apple", "pear"], ("apple", "pear")), ([5, 3, 5], ("3", "5"))):
        holding(hub, parquet({"a": [1, 2, 3], "label": labels}))
        spec = settled(task(**ALONE))
        assert named.load(spec, "train").y.tolist() == [1, 0, 1]
        assert named.image_card(spec).class_names == names


def test_class_names_come_from_the_file_or_the_card(hub: FakeHub) -> None:
    names = ["cat", "dog", "emu"]
    features = {"a": {"_type": "Value"}, "kind": {"_type": "ClassLabel", "names": names}}
    holding(hub, parquet({"a": [1, 2], "kind": [0, 1]}, features))
    by_file = named.image_card(settled(task(**ALONE)))
    label = {"class_label": {"names": dict(zip("012", names, strict=True))}}
    info = {"features": [{"name": "a", "dtype": "int64"}, {"name": "kind", "dtype": label}]}
    holding(hub, parquet({"a": [1, 2], "kind": [0, 1]}), dataset_info=info)
    by_card = named.image_card(settled(task(**ALONE)))
    assert by_file.class_names == by_card.class_names == ("cat", "dog", "emu")
    assert by_file.num_classes == 3


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": [1, 2], "label": [0, None]}, "row 1 of the training split has no label"),
        ({"a": [1, 2], "label": [0, -1]}, "label holds -1, the Hub's sign of examples whose label is kept secret"),
        ({"a": [1, 2], "label": [0.5, 1.5]}, "label holds double, and classes are whole numbers or words"),
        ({"a": [1, 2], "label": ["x", "x"]}, "label has 1 classes"),
        ({"a": [1, None], "label": [0, 1]}, "row 1 of the training split has no finite number in a"),
        ({"a": [1.0, float("nan")], "label": [0, 1]}, "no finite number in a"),
        ({"a": [1, 2], "b": [1, 2]}, "which column is the label is not plain; the columns are a (int64), b (int64)"),
        ({"label": [1, 2], "class": [1, 2]}, "which column is the label is not plain"),
        ({"label": [0, 1]}, "which columns are the examples is not plain"),
        ({"x": [png(1)] * 2, "z": [png(1)] * 2, "label": [0, 1]}, "which columns are the examples is not plain"),
    ],
)
def test_what_cannot_be_learnt_or_is_not_plain_is_said(hub: FakeHub, columns: dict[str, Any], said: str) -> None:
    holding(hub, parquet(columns))
    found = problem(task(**ALONE))
    assert found.startswith("data.columns: ")
    assert said in found


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x": "nothing"}, "there is no column 'nothing'"),
        ({"x": ["a", "words"], "y": "label"}, "words holds texts, which language models hf:... take"),
        ({"x": "sound", "y": "label"}, "sound holds audio, which no model here takes"),
        ({"x": ["a"], "y": "a"}, "a column is named twice"),
    ],
)
def test_columns_that_are_named_wrongly_are_said(hub: FakeHub, columns: dict[str, Any], said: str) -> None:
    sound = {"bytes": b"RIFF", "path": None}
    values = {"a": [1, 2], "words": ["x", "y"], "audio": [sound, sound], "label": [0, 1]}
    features = {"sound": {"_type": "Audio"}}
    holding(hub, parquet({("sound" if k == "audio" else k): v for k, v in values.items()}, features))
    assert said in problem(task({"columns": columns}, **ALONE))


def test_a_label_of_the_test_split_that_training_never_shows_is_refused(hub: FakeHub) -> None:
    holding(hub, parquet({"a": [1, 2], "label": ["x", "y"]}), parquet({"a": [1, 2], "label": ["x", "z"]}))
    assert "row 1 of the test split has the label 'z', which is none of the 2 classes" in problem(task())


def test_without_a_test_split_the_server_cannot_score(hub: FakeHub) -> None:
    holding(hub, images(6))
    assert problem(task()).startswith("evaluation.server: the data set has no test split")
    assert Workload().check(task(**ALONE)) == []


def test_a_file_that_is_no_parquet_is_refused(hub: FakeHub) -> None:
    holding(hub, b"PAR1 and then nothing")
    assert "train.parquet cannot be read as parquet" in problem(task(**ALONE))


def test_columns_that_nobody_can_name_are_left_out(hub: FakeHub) -> None:
    table = pa.table([[1, 2], [3, 4], [5, 6], [7, 8], [0, 1]], names=["a", "\x1b[2Jb", "twice", "twice", "label"])
    out = io.BytesIO()
    pq.write_table(table, out)
    holding(hub, out.getvalue())
    spec = settled(task(**ALONE))
    assert spec.data.pin is not None
    assert spec.data.pin.columns.x == ("a",)
    said = problem(task({"columns": {"x": "none"}}, **ALONE))
    assert said.isprintable()
    assert "the columns are a (int64), label (int64)" in said


def test_more_columns_of_numbers_than_a_task_can_name_are_refused(hub: FakeHub) -> None:
    holding(hub, parquet({"label": [0, 1]} | {f"n{place}": [0, 1] for place in range(4097)}))
    assert "there are 4,097 columns of numbers, more than 4,096" in problem(task(**ALONE))


def test_what_unpacks_to_too_much_is_refused_by_what_the_file_says(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("MOST_UNPACKED", "MOST_GROUP"):
        with monkeypatch.context() as patched:
            patched.setattr(f"resources.datasets.hub.reading.{bound}", 100)
            holding(hub, parquet({"text": ["a" * 10_000] * (50 + len(bound)), "label": range(50 + len(bound))}))
            assert "the training split unpacks to 0.0 GiB" in problem(task(**ALONE))


def test_what_was_read_off_the_data_is_said(hub: FakeHub) -> None:
    holding(hub, images(6))
    said = named.inferred(settled(task(**ALONE)))
    assert said is not None
    assert said.problem == "read off the data: x is image (images), y is label (2 classes)"
    assert named.inferred(settled(task({"columns": {"x": "image", "y": "label"}}, **ALONE))) is None


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "shards", "natural"])
def test_every_cut_is_disjoint_and_whole(hub: FakeHub, kind: str) -> None:
    users = [f"u{place % 4}" for place in range(40)]
    holding(hub, parquet({"a": range(40), "label": [place % 2 for place in range(40)], "who": users}))
    part = {"kind": kind, "parts": 4, "min_examples": 1}
    spec = settled(task({"partition": part, "columns": {"user": "who"}}, **ALONE))
    shares = cut(spec)
    assert sorted(np.concatenate(shares).tolist()) == list(range(40))
    if kind == "natural":
        assert [len({users[place] for place in share}) for share in shares] == [1] * 4
    assert Workload().check(spec) == []


def test_natural_needs_a_column_of_users(hub: FakeHub) -> None:
    holding(hub, images(6))
    assert "names none" in problem(task({"partition": {"kind": "natural", "parts": 2, "min_examples": 1}}, **ALONE))


def test_texts_prompts_and_conversations_become_rows(hub: FakeHub) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    for columns, row in (
        ({"text": ["a", "b"], "more": ["c", "d"]}, Text("a")),
        ({"prompt": ["a", "b"], "completion": ["c", "d"]}, Completion("a", "c")),
    ):
        holding(hub, parquet(columns))
        assert named.texts(settled(writer()), "train").rows[0] == row
    holding(hub, parquet({"messages": [turns, turns]}))
    first = named.texts(settled(writer()), "train").rows[0]
    assert isinstance(first, Chat)
    assert [message.content for message in first.messages] == ["Hi", "Ho"]


def test_labelled_texts_are_for_models_that_classify(hub: FakeHub) -> None:
    holding(hub, parquet({"sentence": ["good", "bad", "good"], "label": ["pos", "neg", "pos"]}))
    spec = settled(writer({"partition": {"kind": "shards", "parts": 2, "shards_per_part": 1, "min_examples": 1}}))
    assert spec.data.pin is not None
    assert spec.data.pin.labels is None  # for a model that writes they are texts, and nothing else
    spec = settled(writer({"partition": {"kind": "dirichlet", "parts": 1, "min_examples": 1}}, task=CLASSIFY))
    rows = named.texts(spec, "train").rows
    assert rows == (Labelled("good", 1), Labelled("bad", 0), Labelled("good", 1))
    assert named.num_classes(spec) == 2
    assert [len(share) for share in cut(spec)] == [3]


CLASSIFY = "sequence_classification"


def test_an_empty_text_is_named(hub: FakeHub) -> None:
    holding(hub, parquet({"text": ["a", " "]}))
    with pytest.raises(Refused, match="row 1 of the training split: text is empty"):
        settled(writer())


def test_too_many_texts_are_refused(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.datasets.hub.texts.MOST_BYTES", 3)
    holding(hub, parquet({"text": ["abc", "def"]}))
    with pytest.raises(Refused, match="rows of texts"):
        settled(writer())
