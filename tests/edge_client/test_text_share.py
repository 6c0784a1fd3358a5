"""A node's share of texts: a part of Shakespeare, or files of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_client.data import Shares, load_share, own_examples, own_path
from edge_client.work import _metrics
from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.training import Trained
from resources.datasets.text.rows import Completion, Labelled, Text
from tests.resources.text.bytes_tokenizer import of_bytes
from tests.resources.text.fixtures import DATA, task

LARGEST = {"kind": "natural", "users": "largest", "parts": 2, "min_examples": 1}


@pytest.fixture(autouse=True)
def _sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POTLUCK_DATA", str(DATA))


def said(*parts: Examples) -> str:
    return "".join(of_bytes().decode([id for id in part.x.ravel().tolist() if id > 1]) for part in parts)


def jsonl(folder: Path, *rows: Any) -> Path:
    (folder / "mine.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder / "mine.jsonl"


def test_each_node_trains_on_its_own_speaker() -> None:
    iago, juliet = (load_share(task(partition=LARGEST, holdout=0.25), index, None, of_bytes) for index in (0, 1))
    assert "drown\ncats and blind puppies" in said(iago.train, iago.held_out)
    assert "wherefore art thou Romeo" in said(juliet.train, juliet.held_out)
    assert "wherefore art thou Romeo" not in said(iago.train, iago.held_out)
    assert len(iago.held_out) > 10
    assert iago.train.x.shape[1] == 128
    assert iago.fingerprint != juliet.fingerprint


def test_a_share_is_the_same_whenever_it_is_made() -> None:
    share, again = (load_share(task(holdout=0.2), 1, None, of_bytes) for _ in range(2))
    assert share.fingerprint == again.fingerprint
    assert torch.equal(share.held_out.x, again.held_out.x)
    assert load_share(task(holdout=0.2, partition={"parts": 2, "seed": 9}), 1, None, of_bytes).fingerprint != (
        share.fingerprint
    )


def test_what_is_held_out_are_whole_speeches_that_are_not_trained_on() -> None:
    spec = task(partition=LARGEST, holdout=0.5, text={"max_length": 4096, "packing": False})
    share = load_share(spec, 1, None, of_bytes)
    train, held_out = ({row.tobytes() for row in part.y.numpy()} for part in (share.train, share.held_out))
    assert (len(share.train), len(share.held_out)) == (53, 53)
    assert len(train & held_out) <= 2  # Juliet says some words twice
    assert said(share.train).count("wherefore art thou Romeo") + said(share.held_out).count("wherefore art") == 1


def test_shares_are_made_once_and_the_tokenizer_loaded_for_no_other_task() -> None:
    loaded = []

    def tokenizer_of() -> Any:
        loaded.append(1)
        return of_bytes()

    shares = Shares(None)
    spec = task(partition=LARGEST)
    first, again = (asyncio.run(shares.of(spec, 0, tokenizer_of)) for _ in range(2))
    assert first is again
    assert loaded == [1]
    assert asyncio.run(shares.of(task(partition=LARGEST, text={"max_length": 64}), 0, tokenizer_of)) is not first


def test_own_texts_are_read_first_and_made_examples_when_there_is_a_tokenizer(tmp_path: Path) -> None:
    spec = task(id="own", text={"max_length": 16}, holdout=0.5)
    own = own_examples(spec, jsonl(tmp_path, {"prompt": "Q", "completion": "A"}, {"prompt": "R", "completion": "B"}))
    assert own == (Completion("Q", "A"), Completion("R", "B"))
    share = load_share(spec, None, own, of_bytes)
    assert sorted(said(share.train) + said(share.held_out)) == list("ABQR")
    assert (share.train.y >= 0).sum() == 2  # the completion's letter and the eos


def test_a_task_on_shakespeare_may_be_joined_with_texts_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("To be.\n\nOr not.")
    assert own_examples(task(), tmp_path / "mine.txt") == (Text("To be."), Text("Or not."))


def test_own_texts_to_classify_have_labels_below_the_tasks_classes(tmp_path: Path) -> None:
    spec = task(id="own", model={"task": "sequence_classification"}, num_classes=2, holdout=0.0)
    own = own_examples(spec, jsonl(tmp_path, {"text": "good", "label": 1}, {"text": "bad", "label": 0}))
    assert own == (Labelled("good", 1), Labelled("bad", 0))
    assert load_share(spec, None, own, of_bytes).train.y.tolist() == [1, 0]
    with pytest.raises(Refused, match=r"line 1 has label 2\.") as caught:
        own_examples(spec, jsonl(tmp_path, {"text": "good", "label": 2}))
    assert caught.value.code is ErrorCode.BAD_DATA


def test_numbers_are_no_texts_and_texts_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "mine.npz").touch()
    with pytest.raises(Refused, match="of no kind that texts are read from"):
        own_examples(task(id="own"), tmp_path / "mine.npz")


def test_shakespeare_is_a_name_and_no_path() -> None:
    assert own_path("shakespeare") is None
    assert own_examples(task(), "shakespeare") is None
    with pytest.raises(Refused, match="trains on shakespeare, not on digits"):
        own_examples(task(), "digits")


def test_a_node_whose_task_wants_own_texts_has_to_bring_them() -> None:
    with pytest.raises(Refused, match="pass --data"):
        own_examples(task(id="own"), None)
    with pytest.raises(Refused, match="no part of the data set"):
        load_share(task(), None, None, of_bytes)


def test_tokens_a_second_are_those_that_were_read_and_no_padding(tmp_path: Path) -> None:
    spec = task(id="own", text={"max_length": 64, "packing": False}, holdout=0.0)
    rows = [{"text": "To be."}] * 3 + [{"text": "Or not to be, that is the question."}]
    share = load_share(spec, None, own_examples(spec, jsonl(tmp_path, *rows)), of_bytes)
    assert share.train.x.shape == (4, 36)
    trained = Trained(num_examples=4, num_steps=1, loss=1.0, accuracy=0.0, seconds=2.0, examples_per_s=2.0)
    assert _metrics(spec, trained, None, share)["train_tokens_per_s"] == 2.0 * (3 * 7 + 36) / 4  # each ended by eos
