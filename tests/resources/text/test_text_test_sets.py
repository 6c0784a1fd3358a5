"""The texts that a server scores versions on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from federation.errors import ErrorCode, Refused
from resources.datasets import catalogue
from resources.datasets.text import resident
from resources.datasets.text.encoding import encode
from resources.datasets.text.resident import TestTexts
from tests.resources.text.bytes_tokenizer import of_bytes
from tests.resources.text.fixtures import DATA, task

LARGEST = {"kind": "natural", "users": "largest", "parts": 2, "min_examples": 1}


def test_examples_are_spread_evenly_over_all_test_texts() -> None:
    spec, tokenizer = task(text={"max_length": 64}), of_bytes()
    texts = catalogue.texts("shakespeare", "test", folder=DATA)
    every = encode(texts.rows, tokenizer, spec.text, classifies=False)
    found = TestTexts(DATA).get(spec, tokenizer, "t")
    places = [n * len(every) // 64 for n in range(64)]
    assert len(every) > 100
    assert torch.equal(found.x, every.x[places])
    assert torch.equal(found.y, every.y[places])


def test_a_task_may_want_fewer_examples_or_all() -> None:
    tokenizer = of_bytes()
    sizes = [
        len(TestTexts(DATA).get(task(text={"max_length": 64}, evaluation={"examples": n}), tokenizer, "t"))
        for n in (1, 10, 10_000)
    ]
    assert sizes[:2] == [1, 10]
    assert sizes[2] > 100


def test_a_federation_of_the_largest_users_is_scored_on_their_texts() -> None:
    spec, tokenizer = task(partition=LARGEST, evaluation={"examples": 10_000}), of_bytes()
    texts = catalogue.texts("shakespeare", "test", folder=DATA)
    theirs = [
        row
        for row, user in zip(texts.rows, texts.users, strict=True)
        if user in ("othello/IAGO", "romeo-and-juliet/JULIET")
    ]
    found = TestTexts(DATA).get(spec, tokenizer, "t")
    assert torch.equal(found.x, encode(theirs, tokenizer, spec.text, classifies=False).x)


def test_users_without_a_test_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shakespeare").mkdir()
    rows = [{"user": user, "text": text} for user, text in (("a/A", "Long, long."), ("a/B", "Ay."), ("a/B", "No."))]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "shakespeare" / "speeches.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    alone = LARGEST | {"parts": 1}
    with pytest.raises(Refused, match=r"no test texts.*evaluation\.server") as caught:
        TestTexts(tmp_path).get(task(partition=alone), of_bytes(), "t")
    assert caught.value.code is ErrorCode.DATA_UNAVAILABLE
    assert len(TestTexts(tmp_path).get(task(partition=LARGEST), of_bytes(), "t")) == 1


def test_the_sets_used_last_are_kept_and_others_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(resident, "encode", lambda *given, **more: made.append(1) or encode(*given, **more))
    tests, tokenizer = TestTexts(DATA), of_bytes()
    short, long = task(text={"max_length": 16}), task(text={"max_length": 32})
    for spec, sha256, count in (
        (short, "t", 1), (short, "t", 1), (long, "t", 2), (short, "t", 2),
        (short, "other", 3), (long, "t", 4), (short, "other", 4),
    ):  # fmt: skip
        tests.get(spec, tokenizer, sha256)
        assert len(made) == count
